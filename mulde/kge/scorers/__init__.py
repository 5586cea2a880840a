"""Scoring functions, one file each."""
