"""Common parts of the experiments: records, tables, comparisons in separate processes, README."""
