"""Distillation methods on graphs, one file each."""
