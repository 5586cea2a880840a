"""Loss surfaces of networks on images: a stratified subset, the surfaces in a file, and their picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.files import write_atomically, write_json
from mulde.metrics.flatness import filter_normalised_sharpness
from mulde.metrics.loss_surface import loss_surface
from mulde.vision.data.images import ImageSet
from mulde.vision.training.feeds import pass_over

FRACTION = 0.1
"""Part of the images of every class on which surfaces are computed."""


def stratified_subset(images: ImageSet, fraction: float = FRACTION) -> ImageSet:
    """The first images of every class, at least one of each."""
    rows = torch.arange(len(images))
    by_class = [rows[images.labels == label] for label in images.labels[images.labels >= 0].unique()]
    return images[torch.cat([own[: max(1, round(fraction * len(own)))] for own in by_class])]


def cross_entropy_of(network: nn.Module, images: ImageSet) -> Callable[[], Tensor]:
    """The mean cross entropy of a network that returns `Features` with the labels, in eval mode."""
    device = next(network.parameters()).device
    batches = [(batch.images.to(device), batch.labels.to(device)) for batch in pass_over(images)]

    def loss() -> Tensor:
        training = network.training
        network.eval()
        each = [functional.cross_entropy(network(x).logits, y, reduction="sum") for x, y in batches]
        network.train(training)
        return torch.stack(each).sum() / len(images)

    return loss


def sharpness_of(network: nn.Module, images: ImageSet) -> float:
    """Filter-normalised sharpness on a stratified subset, see `mulde.metrics.flatness`."""
    loss = cross_entropy_of(network, stratified_subset(images))
    return filter_normalised_sharpness(loss, list(network.parameters()))


def write_surfaces(
    folder: Path, networks: Mapping[str, nn.Module], images: ImageSet, steps: int, report: Callable[[str], None]
) -> None:
    """Write surface.json and, where matplotlib is installed, surface.png: loss surfaces of networks by name.

    The networks are on planes of the same random numbers, with equal axes and equal levels.
    """
    subset, found = stratified_subset(images), dict[str, Any]()
    for name, network in networks.items():
        coordinates, losses = loss_surface(cross_entropy_of(network, subset), list(network.parameters()), steps)
        found[name] = losses.tolist()
    content = {"images": len(subset), "coordinates": coordinates.tolist(), "losses": found}
    write_json(folder / "surface.json", content)
    try:
        picture = plot_surfaces(content)
    except ImportError:
        report("no picture of the loss surfaces, because matplotlib is not installed; `pip install mulde[vision]`")
        return
    write_atomically(folder / "surface.png", picture)


def plot_surfaces(content: Mapping[str, Any]) -> bytes:
    """A PNG of the content of surface.json: contours of each network's loss, side by side. Needs matplotlib."""
    from matplotlib.figure import Figure

    losses = {name: np.array(values) for name, values in content["losses"].items()}
    top = min(float(np.max(values)) for values in losses.values())
    bottom = min(float(np.min(values)) for values in losses.values())
    levels = np.linspace(bottom, max(top, bottom + 1e-6), 20)
    figure = Figure(figsize=(4.0 * len(losses) + 0.8, 3.8), layout="constrained")
    panels = figure.subplots(1, len(losses), squeeze=False)[0]
    for axes, (name, values) in zip(panels, losses.items(), strict=True):
        drawn = axes.contourf(content["coordinates"], content["coordinates"], values.T, levels=levels, extend="max")
        axes.plot(0, 0, "w+")
        axes.set_title(f"{name}: loss {values[len(values) // 2, len(values) // 2]:.3f}", fontsize=9)
        axes.set_xlabel("first direction, in norms of the filters", fontsize=8)
        axes.set_ylabel("second direction", fontsize=8)
    figure.colorbar(drawn, ax=list(panels), label=f"cross entropy of {content['images']} images")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
