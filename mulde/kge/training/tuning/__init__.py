"""Hyperparameter search on the validation split: space, study, search, result, picture."""
