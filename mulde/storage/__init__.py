"""Files of stored models of any kind: folders and zips that are read with care, and tables of weights."""
