"""One record per published graph; the listing of this folder is the catalogue."""
