"""A network of the package torchvision: `torchvision:resnet18`, with its default weights; needs torchvision."""

from __future__ import annotations

from mulde.errors import UsageError
from mulde.vision.models.own_input import Input
from mulde.vision.sources._source import Source, Specification, Wanted, not_installed


def open_source(spec: Specification, wanted: Wanted) -> Source:
    """A pretrained network; one that learns begins with new weights, for the classes of the data.

    Raises
    ------
    MissingExtra
        If torchvision is not installed.
    UsageError
        If it has no such network, or the weights cannot be loaded.
    """
    try:
        from torchvision import models
    except ImportError as error:
        raise not_installed(spec, "torchvision") from error
    try:
        if not wanted.trained:
            return Source(models.get_model(spec.place, num_classes=len(wanted.classes)), Input(3))
        weights = models.get_model_weights(spec.place).DEFAULT
        net, shown = models.get_model(spec.place, weights=weights), weights.transforms()
    except Exception as error:  # of torchvision, of the download or of the network
        raise UsageError(
            f"torchvision:{spec.place}: {error}; names are listed by torchvision.models.list_models()"
        ) from error
    side = int(shown.crop_size[0])
    own = Input(3, (side, side), tuple(shown.mean), tuple(shown.std))
    return Source(net, own, tuple(weights.meta.get("categories", ())))
