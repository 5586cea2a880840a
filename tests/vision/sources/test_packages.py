"""Networks of packages that may be installed; here stand-ins with the functions that are called."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.vision.models.own_classes import WithClasses
from mulde.vision.models.own_input import WithOwnInput
from tests.vision.sources.opening import CLASSES, PIXELS, close, logits, opened


class Pretrained(nn.Module):
    """Stands for a network of a package: averages over positions, of so many classes."""

    pretrained_cfg = {"label_names": ["dog", "cat", "sea horse"]}
    config = SimpleNamespace(id2label={0: "dog", 1: "cat", 2: "sea horse"})

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, images: Tensor) -> Any:
        return self.head(images.mean((2, 3)))


class Processed(Pretrained):
    def forward(self, images: Tensor) -> Any:
        return SimpleNamespace(logits=super().forward(images))


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Packages with the functions that are called, which check their arguments."""

    def module(name: str, **content: Any) -> ModuleType:
        made = ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    def create_model(name: str, pretrained: bool, num_classes: int = 3, in_chans: int = 3) -> nn.Module:
        if name != "tiny":
            raise RuntimeError(f"Unknown model ({name})")
        return Pretrained(num_classes)

    config = {"input_size": (3, 4, 4), "mean": (0.1, 0.1, 0.1), "std": (0.5, 0.5, 0.5)}
    module("timm", create_model=create_model)
    module("timm.data", resolve_model_data_config=lambda net: config)
    shown = SimpleNamespace(crop_size=[4], mean=[0.1] * 3, std=[0.5] * 3)
    default = SimpleNamespace(transforms=lambda: shown, meta={"categories": ["dog", "cat", "sea horse"]})
    models = SimpleNamespace(
        get_model=lambda name, weights=None, num_classes=3: Pretrained(num_classes),
        get_model_weights=lambda name: {"tiny": SimpleNamespace(DEFAULT=default)}[name],
    )
    module("torchvision", models=models)

    def classifier(place: Path, num_labels: int = 3, **options: Any) -> nn.Module:
        assert place == folder and options["use_safetensors"] and not options["trust_remote_code"]
        return Processed(num_labels)

    processor = SimpleNamespace(image_mean=[0.1] * 3, image_std=[0.5] * 3, size={"height": 4, "width": 4})
    module(
        "transformers",
        AutoModelForImageClassification=SimpleNamespace(from_pretrained=classifier),
        AutoImageProcessor=SimpleNamespace(from_pretrained=lambda place, **options: processor),
    )


@pytest.mark.parametrize("kind", ["timm", "torchvision", "hf"])
def test_packages_that_may_be_installed(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(tmp_path) if kind == "hf" else "tiny"
    monkeypatch.setitem(sys.modules, {"hf": "transformers"}.get(kind, kind), None)
    with pytest.raises(UsageError, match=r"needs \w+, which is not installed; install it with `pip install \w+`"):
        opened(f"{kind}:{name}")
    installed(monkeypatch, tmp_path)
    found = opened(f"{kind}:{name}")
    inner = found.network
    assert isinstance(found, WithClasses) and isinstance(inner, WithOwnInput) and inner.size == (4, 4)
    own = (torch.nn.functional.interpolate(PIXELS, (4, 4), mode="bilinear", antialias=True) - 0.1) / 0.5
    close(logits(found), logits(inner.network, own)[:, [1, 0, 2]])
    student = opened(f"{kind}:{name}", "student", classes=[*CLASSES, "bird"])
    assert logits(student).shape == (4, 4) and student.training
    with pytest.raises(UsageError, match=r"names are listed by|expected a folder with config"):
        opened(f"{kind}:none")
