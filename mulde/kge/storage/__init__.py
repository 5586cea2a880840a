"""Models on disk: run folders, bundles, fewer bits, model cards. Nothing is unpickled."""
