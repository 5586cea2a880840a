"""Distillation methods on images, one file each."""
