"""Measurements of quality and speed, one experiment per file: `python -m benchmarks.quality.NAME` at the root."""
