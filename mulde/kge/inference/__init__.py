"""Predictions of a trained model: top k, queries by name, files of queries, ONNX Runtime, latency."""
