"""Properties of a graph: validation, leaks between splits, cardinality of relations."""
