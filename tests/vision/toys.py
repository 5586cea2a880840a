"""Small image sets, with labels and with boxes, and splits that every test of the vision side can afford."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import nn

from mulde.engine import Clock
from mulde.engine.protocol import Needs, as_setup
from mulde.vision.ablation.study import task_metrics
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.scenes import scenes
from mulde.vision.data.shapes import shapes
from mulde.vision.data.splitting import split
from mulde.vision.models import network
from mulde.vision.models.architecture import architecture_of
from mulde.vision.models.blocks import CosineClassifier
from mulde.vision.models.exits import ExitHeads, ExitNetwork
from mulde.vision.models.jitnet import JITNetwork
from mulde.vision.models.one_stage import AnchorDetector
from mulde.vision.models.projected import Projected
from mulde.vision.models.prototypes import PrototypeNetwork
from mulde.vision.models.rebuilding import rebuild
from mulde.vision.models.transformer import VisionTransformer
from mulde.vision.models.two_stage import TwoStageDetector
from mulde.vision.training.feeds import BoxBatch, BoxFeed, ImageBatch, ImageFeed
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from mulde.vision.video.generated import drifting
from mulde.vision.video.reading import LabelledVideo

BEGINNING = Clock(step=0, epoch=0, epochs=10, progress=0.0)


@cache
def images() -> ImageSet:
    return shapes(96, size=8, seed=1)


@cache
def toy_split(seed: int = 0) -> Split:
    return split(images(), seed).standardised()


def batch() -> ImageBatch:
    return next(iter(ImageFeed(toy_split().train, 12)))


@cache
def toy_video() -> LabelledVideo:
    """Thirty frames of 40 x 40, a cut in the middle."""
    return drifting(30, 40, cuts=(15,), objects=2, seed=1)


def data_of(module: ModuleType) -> Any:
    """Toy data of the kind that a method needs."""
    needs = getattr(module, "NEEDS", Needs("images", {}))
    if needs.domains:
        found = toy_split()
        domains = torch.arange(len(found.train)) % 3
        return replace(found, train=replace(found.train, domains=domains, domain_names=("a", "b", "c")))
    return {"images": toy_split, "boxes": boxed_split, "video": toy_video}[needs.data]()


def built(
    module: ModuleType, config: Any, data: Any, given: Mapping[str, Any] | None = None, **options: Any
) -> tuple[Any, Any]:
    """The method that a file builds, and its feed."""
    setup = as_setup(module.build(config, data, module.networks(config, data, given or {}), **options))
    return setup.method, config.training.default_feed(data) if setup.feed is None else setup.feed


def metrics(module: ModuleType, config: Any, data: Any, session: Session) -> dict[str, float]:
    """Metrics of a method that was run, as its study evaluates it."""
    study = getattr(module, "STUDY", None)
    evaluate = task_metrics if study is None else study.evaluate
    return dict(evaluate(config, data, run_method(module, config, data, session)))


def plain(net: Any) -> nn.Module:
    """A new network of the same shape, made without a method."""
    if isinstance(net, JITNetwork):
        return JITNetwork(net.classifier.out_channels, net.widths[0] / 128)
    if isinstance(net, Projected):
        projection, classifier = net.projection, net.classifier
        layers = nn.Sequential(nn.Linear(projection[0].in_features, projection[0].out_features), nn.ReLU())
        return Projected(plain(net.network), layers, CosineClassifier(*reversed(classifier.weight.shape)))
    if isinstance(net, AnchorDetector | TwoStageDetector):
        trunk = network("-".join(["cnn", *map(str, net.trunk.widths)]), 1, 1)
        if isinstance(net, AnchorDetector):
            shape = {"stages": len(net.lateral), "extra": len(net.extra), "tower": len(net.class_tower) // 3}
            return AnchorDetector(trunk, net.classes, width=net.width, anchor_scale=net.anchor_scale, **shape)
        sizes = {name: getattr(net, name) for name in ("sides", "bins", "before", "proposals")}
        return TwoStageDetector(
            trunk, net.classes, width=net.rpn_class.in_channels, hidden=net.rcn_class.in_features, **sizes
        )
    if isinstance(net, ExitNetwork):
        own = net.heads.architecture
        return ExitNetwork(plain(net.network), ExitHeads(own["channels"], own["strides"], own["classes"]))
    if isinstance(net, VisionTransformer | PrototypeNetwork):
        return rebuild(architecture_of(net))
    found = network(**{key: value for key, value in net.architecture.items() if key != "made_by"})
    if isinstance(net.classifier, nn.Identity):
        found.classifier = net.classifier
    return found


@cache
def boxed_split(seed: int = 0) -> Split[DetectionSet]:
    return split(scenes(90, size=24, seed=1), seed).standardised()


def boxed_batch() -> BoxBatch:
    return next(iter(BoxFeed(boxed_split().train, 12)))
