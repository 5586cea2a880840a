"""Small sets of labelled images: bundled, generated or read from files; divided by seed."""

from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.loading import load

__all__ = ["ImageSet", "Split", "load"]
