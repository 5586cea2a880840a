"""Published graphs, one record per file; the files in this folder are the catalogue."""
