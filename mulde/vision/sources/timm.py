"""A network of the package timm: `timm:resnet18.a1_in1k`, with its pretrained weights; needs timm."""

from __future__ import annotations

from mulde.errors import UsageError
from mulde.vision.models.own_input import Input
from mulde.vision.sources._source import Source, Specification, Wanted, not_installed


def open_source(spec: Specification, wanted: Wanted) -> Source:
    """A pretrained network; one that learns gets a new classifier for the classes of the data, and their channels.

    Raises
    ------
    MissingExtra
        If timm is not installed.
    UsageError
        If it has no such network, or the weights cannot be loaded.
    """
    try:
        import timm
        from timm.data import resolve_model_data_config
    except ImportError as error:
        raise not_installed(spec, "timm") from error
    sizes = {} if wanted.trained else {"num_classes": len(wanted.classes), "in_chans": wanted.input.channels}
    try:
        net = timm.create_model(spec.place, pretrained=True, **sizes)
    except Exception as error:  # of timm, of the hub or of the network
        raise UsageError(
            f"timm:{spec.place}: {error}; names are listed by timm.list_models(pretrained=True)"
        ) from error
    config = resolve_model_data_config(net)
    channels, *sides = config["input_size"]
    names = (net.pretrained_cfg.get("label_names") or ()) if wanted.trained else ()
    own = Input(channels, (sides[0], sides[1]), tuple(config["mean"]), tuple(config["std"]))
    return Source(net, own, tuple(names))
