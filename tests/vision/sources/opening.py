"""Images, and networks opened for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mulde.vision.models import network
from mulde.vision.sources import open_network
from mulde.vision.storage.student import Student, save_student

CLASSES = ("cat", "dog", "sea horse")
PIXELS = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MEAN, DEVIATION = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1), torch.tensor([0.2, 0.2, 0.3]).view(1, 3, 1, 1)
IMAGES = (PIXELS - MEAN) / DEVIATION
SAME = ",mean=.5,.4,.3,std=.2,.2,.3"


def opened(spec: Any, role: str = "teacher", channels: int = 3, **options: Any) -> Any:
    scale = tuple(x[:, :channels] for x in (MEAN, DEVIATION))
    return open_network(spec, role, **{"classes": CLASSES, "channels": channels, "size": 8, "scale": scale, **options})


def logits(net: nn.Module, images: Tensor = IMAGES) -> Tensor:
    with torch.no_grad():
        found: Tensor = net(images).logits
    return found


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def fresh(name: str, classes: int = 3, **options: Any) -> Any:
    """A network in eval mode whose normalisation has statistics of its own."""
    torch.manual_seed(1)
    net = network(name, classes, **options)
    net(torch.randn(16, options.get("input_channels", 3), 8, 8))
    return net.eval()


def saved(folder: Path, net: nn.Module, classes: tuple[str, ...], task: Any = "classify") -> str:
    student = Student(net, task, classes, 3, (12, 12), (0.1, 0.2, 0.3), (0.5, 0.5, 0.25))
    data = {"source": "shapes", "name": "shapes", "checksum": "0" * 64}
    save_student(folder, student, {"method": "supervised", "data": data})
    return str(folder)
