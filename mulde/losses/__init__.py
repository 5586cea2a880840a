"""Loss functions of tensors, one family per file; a method decides where their inputs come from and what they weigh."""
