"""Distillation between image networks."""
