"""KGE models: scorer base class, tables, scoring, ranking, the loss over all entities, compilation and threads."""
