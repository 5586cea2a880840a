"""KGE models: scorer base class, tables, scoring, ranking, the loss over all entities, and what makes them fast."""
