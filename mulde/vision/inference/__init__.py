"""Trained students in use: evaluation on labelled images, and predictions for pictures."""
