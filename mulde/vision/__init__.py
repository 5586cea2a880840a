"""Distillation between image networks: one file per method, named as it is published."""
