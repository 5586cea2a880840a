"""Early exit of a stored network: accuracy and speed at several confidences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mulde.engine.latency import measure
from mulde.metrics.classification import accuracy
from mulde.vision.inference.answers import BATCH
from mulde.vision.models.exits import ExitNetwork
from mulde.vision.models.staged import StagedNetwork

CONFIDENCES = (0.5, 0.7, 0.9, 0.95, 0.99)
CALLS = 100


def early_exit_rows(network: ExitNetwork, images: Any) -> list[dict[str, Any]]:
    """A row for every confidence, and one for the network without early exit.

    Parameters
    ----------
    network
        In eval mode.
    images
        Labelled images in the form of its input.

    Returns
    -------
    Rows with ``confidence`` (None: no early exit), ``accuracy``, ``early`` (fraction of images that leave before the
    deepest exit), ``mean exit`` (counted from 1), ``p50 ms`` and ``p95 ms`` of one image, on up to 100 of them. Empty
    for a network that cannot be computed stage by stage.
    """
    if not isinstance(network.network, StagedNetwork):
        return []
    device, labels = next(network.parameters()).device, images.labels.numpy()
    chosen = torch.arange(len(images))[:: max(1, len(images) // CALLS)][:CALLS]
    singles = [(images.pixels(row).to(device),) for row in chosen.split(1)]

    engines: dict[str, Callable[[Tensor], Any]] = {
        str(confidence): partial(network.early, confidence=confidence) for confidence in CONFIDENCES
    }
    with torch.inference_mode():
        times = measure({"None": network, **engines}, singles)
    rows = []
    for confidence in (*CONFIDENCES, None):
        logits, taken = _over(network, images, 2.0 if confidence is None else confidence, device)
        rows.append(
            {
                "confidence": confidence,
                "accuracy": accuracy(logits.argmax(1).numpy(), labels),
                "early": (taken < len(network.heads)).double().mean().item(),
                "mean exit": 1 + taken.double().mean().item(),
                "p50 ms": times[str(confidence)].p50,
                "p95 ms": times[str(confidence)].p95,
            }
        )
    return rows


def _over(network: ExitNetwork, images: Any, confidence: float, device: torch.device) -> tuple[Tensor, Tensor]:
    rows = torch.arange(len(images)).split(BATCH)
    found = [network.early(images.pixels(part).to(device), confidence) for part in rows]
    logits, taken = zip(*found, strict=True)
    return torch.cat(logits).cpu(), torch.cat(taken).cpu()
