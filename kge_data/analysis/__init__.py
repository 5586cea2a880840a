"""Properties of a graph: errors, leaks between splits, cardinality of relations."""
