"""Small image networks that answer with all their features, and the train-only modules attached to them."""

from mulde.vision.models.networks import network
from mulde.vision.models.seeding import seeded
from mulde.vision.models.staged import Features, StagedNetwork

__all__ = ["Features", "StagedNetwork", "network", "seeded"]
