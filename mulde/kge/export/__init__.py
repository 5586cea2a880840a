"""A trained model for other programs: ONNX and a scorer without torch, embeddings as tables, and how fast each is."""
