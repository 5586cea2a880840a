"""Adapted: a module of the user's as a network of a method, with feature maps by the names of its layers.

student = Adapted(my_resnet, stages=("layer1", "layer2", "layer3"), pooled="avgpool")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mulde.engine.protocol import Output
from mulde.errors import UsageError, unknown
from mulde.vision.models.architecture import made_by
from mulde.vision.models.staged import Features, StagedNetwork

WRAP = "wrap it as mulde.vision.models.Adapted(module, stages=(NAME, ...), pooled=NAME)"


class OtherClasses(UsageError):
    """A network is for other classes than those of the data."""


class Adapted(nn.Module):
    """A module that returns logits, made to return `Features`.

    Parameters
    ----------
    module
        Images (b, channels, h, w) -> logits (b, k).
    stages
        Dotted names of the layers whose outputs (b, d, h, w) are the stages, from shallow to deep.
    pooled
        Dotted name of the layer whose output (b, d) or (b, d, 1, 1) is the pooled feature vector; empty: the last
        stage averaged over positions, or none where there are no stages.

    Raises
    ------
    UsageError
        For a name that is not a layer of the module.
    """

    def __init__(self, module: nn.Module, stages: Sequence[str] = (), pooled: str = "") -> None:
        super().__init__()
        names = [name for name, _ in module.named_modules() if name]
        for name in (*stages, *([pooled] if pooled else [])):
            if name not in names:
                raise unknown("layer", name, names, "module.named_modules()")
        self.module, self.stages, self.pooled = module, tuple(stages), pooled
        self.architecture = made_by("Adapted", module=module, stages=list(stages), pooled=pooled)
        self.widths: tuple[int, ...] = ()
        """Channels of every stage, or of the pooled features alone; known after a dry run, see `adapted`."""

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w)."""
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            return lambda layer, inputs, output: found.__setitem__(name, output)

        names = {*self.stages, *([self.pooled] if self.pooled else [])}
        hooks = [self.module.get_submodule(name).register_forward_hook(keep(name)) for name in names]
        try:
            logits = self.module(images)
        finally:
            for hook in hooks:
                hook.remove()
        stages = tuple(found[name] for name in self.stages)
        if self.pooled:
            pooled = found[self.pooled].flatten(1)
        else:
            pooled = stages[-1].mean((2, 3)) if stages else logits.new_empty(len(logits), 0)
        return Features(stages, pooled, logits)


def stage_layers(network: nn.Module) -> list[nn.Module]:
    """The layers whose outputs are the stages of a network, from shallow to deep; none where they are not known."""
    for part in network.modules():
        if isinstance(part, StagedNetwork):
            return list(part.stages)
        if isinstance(part, Adapted) and part.stages:
            return [part.module.get_submodule(name) for name in part.stages]
    return []


def adapted(module: nn.Module, role: str, output: Output, images: Tensor, classes: int | None) -> nn.Module:
    """A given network of a role, adapted if it returns plain logits, and checked by a dry run on a few images.

    Parameters
    ----------
    module
        Returns logits or `Features`. Changed in its buffers by nothing: the dry run is in eval mode.
    role
        Name of the role, for messages.
    output
        What the method reads of the network.
    images
        (b, channels, h, w), as the method will get them.
    classes
        Number of classes of the data; None where the logits are not read.

    Raises
    ------
    UsageError
        Where the module fails on the images, returns something else, has other classes, or lacks a needed output.
    """
    module, found = with_features(module, role, images)
    if classes is not None and found.logits.shape != (len(images), classes):
        got = f"got shape {tuple(found.logits.shape)}" if found.logits.shape[1] else "got none"
        raise OtherClasses(f"{role}: expected logits of {classes} classes, {got}; the network is for other classes")
    if (output == "stages" and not found.stages) or (output == "pooled" and not found.pooled.shape[1]):
        raise UsageError(f"{role}: the method reads {output} features, which the module does not return; {WRAP}")
    return module


def with_features(module: nn.Module, role: str, images: Tensor) -> tuple[nn.Module, Features]:
    """A network that returns `Features`, and those of a few images; arguments and errors as for `adapted`."""
    training = module.training
    try:
        with torch.no_grad():
            found = module.eval()(images)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"{role}: the module fails on images of shape {tuple(images.shape)}: {error}") from error
    finally:
        module.train(training)
    if isinstance(found, Tensor) and found.ndim == 2:
        return with_features(Adapted(module).train(training), role, images)
    if not isinstance(found, Features):
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise UsageError(
            f"{role}: expected a module that returns logits (images, classes), got {got}; return a tensor of that shape"
        )
    if isinstance(module, Adapted):
        pooled = (found.pooled.shape[1],) if found.pooled.shape[1] else ()
        module.widths = tuple(stage.shape[1] for stage in found.stages) or pooled
    return module, found
