"""Export formats of trained models, one per file. PyKEEN folders are written by `mulde.pykeen`."""
