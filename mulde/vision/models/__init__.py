"""Small image networks that return all their features, detectors, heads and initial weights."""

from mulde.vision.models.adapted import Adapted
from mulde.vision.models.networks import network
from mulde.vision.models.seeding import seeded
from mulde.vision.models.staged import Features, StagedNetwork

__all__ = ["Adapted", "Features", "StagedNetwork", "network", "seeded"]
