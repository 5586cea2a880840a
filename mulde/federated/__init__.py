"""Federated training with Flower."""
