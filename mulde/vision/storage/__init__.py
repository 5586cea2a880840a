"""Students of image methods on disk: run folders and bundles. Nothing is unpickled."""
