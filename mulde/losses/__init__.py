"""Loss functions of tensors, one family per file; methods provide their inputs and weights."""
