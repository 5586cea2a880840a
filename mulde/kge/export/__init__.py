"""Exports of a trained model, one format per file."""
