"""Geometry of embeddings: functions with the curvature as an argument, and the spaces in which scores are computed."""
