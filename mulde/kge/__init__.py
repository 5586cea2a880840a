"""Knowledge-graph embeddings: models, scorers, methods, training, evaluation, inference."""
