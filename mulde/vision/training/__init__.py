"""Training of image networks: sessions, feeds, detection, evaluation, federation."""
