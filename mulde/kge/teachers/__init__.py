"""Teachers of a Junior: the ensemble, the Senior, and cached predictions."""
