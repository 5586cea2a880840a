"""Rules mined from the training graph, their groundings, and where they are kept. Imports no torch."""
