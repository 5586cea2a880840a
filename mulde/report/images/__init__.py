"""Reports of image methods."""
