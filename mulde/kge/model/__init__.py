"""KGE models: scorer base class, tables, scoring, ranking, the softmax loss and what makes them fast."""
