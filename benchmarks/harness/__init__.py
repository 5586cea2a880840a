"""What the experiments share: records and tables, comparisons in separate processes, README."""
