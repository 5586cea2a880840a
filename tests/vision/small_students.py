"""Small students in folders, and the pictures that it was trained on, for tests of what people do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from mulde.vision.data.loading import load
from mulde.vision.data.shapes import SHAPES, shapes
from mulde.vision.data.splitting import split
from mulde.vision.methods import supervised
from mulde.vision.models import network
from mulde.vision.models.jitnet import JITNetwork
from mulde.vision.models.one_stage import AnchorDetector
from mulde.vision.storage.student import Student, save_student
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session

SIZE = 12


def write_pictures(folder: Path, count: int = 120) -> None:
    """Generated pictures as folder/CLASS/0.png in colour, of the first three shapes."""
    found = shapes(count, SIZE, seed=3, channels=3, noise=0.05)
    for i, (pixels, label) in enumerate(zip(found.images, found.labels.tolist(), strict=True)):
        if label < 3:
            place = folder / SHAPES[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray((255 * pixels.permute(1, 2, 0)).byte().numpy()).save(place / f"{i}.png")


def write_student(folder: Path, pictures: Path) -> Path:
    """A student in a run folder, after two epochs on these pictures."""
    data = split(load(f"folder:{pictures}"), 0).standardised()
    training = Training(2, 16, "none", OptimizerSteps("adam", 1e-2))
    config = supervised.Config(student="cnn-8-16", training=training)
    trained = run_method(supervised, config, data, Session(folder=folder))
    assert data.scale is not None
    mean, deviation = (tuple(part.flatten().tolist()) for part in data.scale)
    student = Student(trained.student, "classify", data.train.classes, 3, (SIZE, SIZE), mean, deviation)
    save_student(folder, student, about("supervised", f"folder:{pictures}", data.train.checksum()))
    return folder


def about(method: str, source: str = "", checksum: str = "") -> dict[str, Any]:
    """What a training records beside the student."""
    data = {"source": source, "name": "pictures", "checksum": checksum}
    settings = {"method": method, "data": source, "out": "runs/small", "seed": 0, "teacher": ["/home/me/big.onnx"]}
    return {"method": method, "data": data, "settings": settings, "metrics": {"test": {"accuracy": 0.9}}}


def write_untrained(folder: Path, task: Any) -> Path:
    """A student with new weights for boxes, masks or embeddings of grey or colour pictures."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = {
            "detect": lambda: AnchorDetector(network("cnn-4-8", 1, 1), 3, width=8, stages=2, extra=0, tower=1),
            "segment": lambda: JITNetwork(3, 0.0625),
            "embed": lambda: network("cnn-4-8", 3, 3),
        }[task]()
    if task == "embed":
        made.classifier = nn.Identity()
    channels, side = {"detect": (1, 24), "segment": (3, 40), "embed": (3, SIZE)}[task]
    classes = ("disc", "square", "triangle")
    student = Student(made, task, classes, channels, (side, side), (0.5,) * channels, (0.25,) * channels)
    save_student(folder, student, about("own", {"detect": "scenes:60", "segment": "", "embed": ""}[task]))
    return folder


def noise(path: Path, rows: int, columns: int, seed: int = 0) -> Path:
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
