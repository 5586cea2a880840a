"""Models on disk: run folders, bundles, quantised tables, model cards. Nothing is unpickled."""
