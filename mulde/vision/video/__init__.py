"""Videos: reading, generated and labelled streams, dense labels, predictions."""
