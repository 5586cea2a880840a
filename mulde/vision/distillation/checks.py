"""Checks of data and options before anything is trained: a sentence for each mistake, and one step of the main fit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch

from mulde.engine import Clock
from mulde.engine.device import random_state, resolved, restore_random_state
from mulde.engine.protocol import Needs, Setup, as_setup
from mulde.errors import UsageError
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.domains import domains_of
from mulde.vision.data.images import Split
from mulde.vision.distillation.method_file import method_name
from mulde.vision.distillation.sources import from_elsewhere
from mulde.vision.training.run import task_of

BEGINNING = Clock(step=0, epoch=0, epochs=1, progress=0.0)


def check_options(method: ModuleType, config: Any, *, baseline: bool, device: str) -> None:
    """Refuse what can be refused before the data are read.

    Raises
    ------
    UsageError
        If a network does not exist, the device is missing, or the method has no baseline.
    """
    resolved(device)
    from_elsewhere(method, config)
    name = method_name(method)
    if baseline and (
        task_of(method) not in ("classify", "detect") or method.NEEDS.labels != "all" or name == "supervised"
    ):
        raise UsageError(f"--baseline trains the student on labels alone, which does not suit {name}; leave it out")


def check_data(needs: Needs, data: Split[Any], source: str) -> None:
    """Refuse data that a method cannot be trained on.

    Raises
    ------
    UsageError
        If there is no picture, only one class, or labels that the method needs are missing.
    """
    boxes = isinstance(data.train, DetectionSet)
    if boxes != (needs.data == "boxes"):
        wanted = "images with boxes" if needs.data == "boxes" else "images with one class each"
        raise UsageError(f"{source}: the method is trained on {wanted}; give such data, or choose another method")
    if not len(data.train):
        raise UsageError(f"{source}: expected pictures to train on, found none")
    if needs.domains:
        domains_of(data.train)
    if needs.labels == "none" or not needs.reads_training_images:
        return
    labels = data.train.labels
    if not boxes and needs.labels == "all" and (unknown := int((labels < 0).sum())):
        raise UsageError(
            f"{source}: {unknown} of {len(labels)} training pictures have no label, which the method needs; leave them "
            "out, or choose simclrv2, which needs few labels"
        )
    present = labels[labels >= 0].unique()
    if not boxes and len(present) < 2:
        names = ", ".join(data.train.classes[i] for i in present.tolist()) or "none"
        raise UsageError(
            f"{source}: expected training pictures of at least two classes, found {names}; a class is a folder of "
            "pictures"
        )
    if boxes and not len(present):
        raise UsageError(f"{source}: expected objects in the training pictures, found none")


def rehearse(method: ModuleType, config: Any, data: Split[Any], networks: Mapping[str, Any], batches: Any) -> None:
    """Compute the losses of one batch of the main fit on copies of the networks.

    Raises
    ------
    UsageError
        If options, networks and data do not fit each other.
    """
    outside = random_state()
    name = getattr(method, "__name__", "the method").rpartition(".")[2]
    try:
        setup: Setup = as_setup(method.build(config, data, copy.deepcopy(dict(networks))))
        feed = batches
        if feed is None:
            feed = config.training.default_feed(data) if setup.feed is None else setup.feed
        setup.method.train()
        losses = setup.method.losses(next(iter(feed)), BEGINNING)  # with gradients, which some losses need
    except UsageError:
        raise
    except StopIteration:
        raise UsageError("the batches to train on end before the first one; pass a loader that has some") from None
    except (RuntimeError, IndexError, TypeError, AttributeError) as error:
        raise UsageError(f"{name}: the first step fails with these networks, options and pictures: {error}") from error
    finally:
        restore_random_state(outside)
    if bad := [term for term, value in losses.items() if not torch.isfinite(value).all()]:
        raise UsageError(f"{name}: {bad[0]} is not a finite number in the first step; check the pictures' values")
