"""Methods on triples, their feeds, and link prediction."""
