"""A network with layers between its pooled features and the classifier; the layers are exported with it."""

from __future__ import annotations

from torch import Tensor, nn

from mulde.vision.models.architecture import made_by
from mulde.vision.models.staged import Features, StagedNetwork


class Projected(nn.Module):
    """stages, pooling ─▶ projection ─▶ classifier."""

    def __init__(self, network: StagedNetwork, projection: nn.Module, classifier: nn.Module) -> None:
        """network: its own classifier is removed; projection: (b, d) -> (b, p); classifier: (b, p) -> (b, k)."""
        super().__init__()
        self.architecture = made_by("Projected", network=network, projection=projection, classifier=classifier)
        network.classifier = nn.Identity()
        self.network, self.projection, self.classifier = network, projection, classifier
        self.widths = network.widths

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w). `pooled` is the input of the classifier, (b, p)."""
        found: Features = self.network(images)
        projected = self.projection(found.pooled)
        return Features(found.stages, projected, self.classifier(projected))
