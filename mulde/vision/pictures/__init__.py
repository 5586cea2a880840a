"""Pictures in files: which there are, and how they are brought to one form. Imports no torch, as reading processes do."""
