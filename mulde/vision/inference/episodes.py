"""Few-shot evaluation of a stored network on a user's images, whose classes it need not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.vision.data.augmentation import compose, flip, shift
from mulde.vision.data.episodes import EpisodeShape, episodes
from mulde.vision.inference.answers import BATCH, Outputs
from mulde.vision.inference.loaded import TorchOutputs
from mulde.vision.training.few_shot import HEADS, episode_accuracies


def episode_rows(
    model: Outputs, images: Any, shape: EpisodeShape, count: int, *, support_views: int = 1, normalise: bool = True
) -> list[dict[str, Any]]:
    """Mean accuracy of every head over the same episodes, with its 95 % confidence interval.

    Parameters
    ----------
    model
        A classifier or an embedding that torch computes; its features are used.
    images
        Labelled images.
    shape
        Sizes of an episode.
    count
        Number of episodes.
    support_views
        Versions of every labelled image: itself, and others that are moved by an eighth and mirrored.
    normalise
        Scale features to length 1.

    Raises
    ------
    UsageError
        If the network has no features, or there are too few classes or images.
    """
    if not isinstance(model, TorchOutputs) or model.task not in ("classify", "embed"):
        raise UsageError("--episodes needs features of a classifier or embedding that torch computes; leave it out")
    tasks = episodes(images.labels, shape, count)
    views = torch.stack(list(_views(model, images, support_views)))
    if not views.shape[2]:
        raise UsageError("--episodes needs features, and the network has only logits (a mean of several); leave it out")
    rows = []
    for name, head in HEADS.items():
        found = episode_accuracies(head, views, tasks, normalise)
        margin = 1.96 * float(found.std(ddof=1)) / np.sqrt(len(found)) if len(found) > 1 else float("nan")
        rows.append({"head": name, "accuracy": float(found.mean()), "interval_95": margin})
    return rows


@torch.no_grad()
def _views(model: TorchOutputs, images: Any, count: int) -> Iterator[Tensor]:
    """Features (n, d) of the images as they are, then of changed ones, the same in every call."""
    network: nn.Module = model.model.network
    augment = compose(shift(max(1, images.images.shape[-1] // 8)), flip)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for view in range(count):
            parts = []
            for rows in torch.arange(len(images)).split(BATCH):
                pixels = images.pixels(rows)
                parts.append(_pooled(network((augment(pixels) if view else pixels).to(model.device))).cpu())
            yield torch.cat(parts)


def _pooled(found: Any) -> Tensor:
    return found if isinstance(found, Tensor) else found.pooled
