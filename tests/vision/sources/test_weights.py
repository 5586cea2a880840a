"""Weights for networks of ours, under the names of other code, and files that are none."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from mulde.engine import is_frozen
from mulde.errors import UsageError
from mulde.vision.models import network
from mulde.vision.sources.weights import renamed_key
from tests.vision.sources.opening import PIXELS, SAME, close, fresh, logits, opened


def in_other_code(key: str) -> str:
    """The key of a tensor of ours in widely used code, under DataParallel."""
    key = re.sub(r"^stages\.(\d+)\.", lambda match: f"layer{int(match[1]) + 1}.", key)
    for ours, theirs in (
        ("stem.0", "conv1"), ("stem.1", "bn1"), ("classifier", "linear"), ("shortcut", "downsample"),
        ("first_norm", "bn1"), ("second_norm", "bn2"), ("third_norm", "bn3"),
        ("first", "conv1"), ("second", "conv2"), ("third", "conv3"),
    ):  # fmt: skip
        key = key.replace(ours, theirs)
    return f"module.{key}"


@pytest.mark.parametrize("name", ["resnet8", "resnet8-padded"])
def test_weights_under_the_names_of_other_code(name: str, tmp_path: Path) -> None:
    """Shortcuts without weights are found by their absence; the keys are those of DataParallel."""
    net = fresh(name)
    path = tmp_path / "weights.th"
    torch.save({"epoch": 3, "state_dict": {in_other_code(k): v for k, v in net.state_dict().items()}}, path)
    found = opened(f"{name.removesuffix('-padded')}:{path}{SAME}")
    assert torch.equal(logits(found), logits(net)) and is_frozen(found) and not found.training
    assert torch.equal(logits(opened(f"{name}:{path}{SAME}")), logits(net))


def test_names_of_layers_in_torchvision() -> None:
    with torch.device("meta"):
        keys = network("imagenet-resnet50", 3).state_dict().keys()
    theirs = [in_other_code(key).removeprefix("module.") for key in keys]
    assert {"layer1.0.downsample.1.weight", "layer4.2.conv3.weight", "layer3.5.bn2.bias"} <= set(theirs)
    assert [renamed_key(key) for key in theirs] == list(keys)


def test_weights_of_wide_residual_networks_and_of_ours(tmp_path: Path) -> None:
    net = fresh("wrn-10-1")
    other = {
        re.sub(r"^stages\.(\d)\.(\d)\.", lambda m: f"block{int(m[1]) + 1}.layer.{m[2]}.", key)
        .replace("first_norm", "bn1").replace("second_norm", "bn2").replace("first", "conv1")
        .replace("second", "conv2").replace("shortcut", "convShortcut").replace("stem", "conv1")
        .replace("last.0", "bn1").replace("classifier", "fc"): value
        for key, value in net.state_dict().items()
    }  # fmt: skip
    torch.save(other, tmp_path / "other.pth")
    torch.save(net.state_dict(), tmp_path / "ours.pth")
    for file in ("other.pth", "ours.pth"):
        assert torch.equal(logits(opened(f"wrn-10-1:{tmp_path / file}{SAME}")), logits(net))
    grey = fresh("resnet8", input_channels=1, channels=4)  # other sizes are read from the weights
    torch.save(grey.state_dict(), tmp_path / "grey.pth")
    said = list[str]()
    found = opened(f"resnet8:{tmp_path / 'grey.pth'},mean=.1,std=.2", report=said.append)
    assert "takes grey images; those of the data are converted to grey for it" in said[0]
    close(logits(found), logits(grey, (PIXELS.mean(1, keepdim=True) - 0.1) / 0.2))


class Dangerous:
    def __reduce__(self) -> Any:
        return print, ("unpickled",)


def test_files_that_are_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.pth"
    torch.save(fresh("resnet8").state_dict(), path)
    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"state_dict": Dangerous()}))
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    for spec, message in (
        (
            f"resnet14:{path}",
            r"not the weights of resnet14: without stages\.0\.1\.first\.weight, .* more; name another",
        ),
        (f"wrn-10-1:{path}", "not the weights of wrn-10-1: without .*; with unknown .*; with other shapes: "),
        (f"resnet8:{tmp_path / 'bad.pth'}", "expected a state dict that opens without unpickling, got UnpicklingError"),
        (f"resnet8:{tmp_path / 'empty.pth'}", "expected a state dict, found dict without tensors"),
        ("resnet8:none.pth", "none.pth does not exist; expected a file with the weights of resnet8"),
        (str(path), r"weights of which network\? Write NAME:"),
        ("resnet8", "would have new weights, and a teacher must be trained; give weights as resnet8:PATH"),
        ("nothing", "no file, folder or network of this name; expected a network like cnn-8-16-32"),
        ("models.py", r"which network in this file\? Write models\.py:NAME"),
        (f"resnet8:{path},siz=3", 'no option called "siz"; nearest: size'),
        (f"resnet8:{path},mean=.1", "expected both mean and std"),
        (f"resnet8:{path},mean=a,std=1", "expected numbers for mean, got a"),
        (f"resnet8:{path},mean=.1,.2,std=.1,.1", "expected mean and std of 3 channels, got 2 values"),
        (f"resnet8:{path},stages=stem", "returns features of its own; leave out stages and pooled"),
    ):
        with pytest.raises(UsageError, match=message):
            opened(spec)
    assert "unpickled" not in capsys.readouterr().out
