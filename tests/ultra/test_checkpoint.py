"""Opening checkpoints of ULTRA."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from mulde.errors import UsageError
from mulde.ultra.checkpoint import open_ultra, path_of
from tests.ultra.checkpoints import random_network, save


def test_widths_are_those_of_the_file(tmp_path: Path) -> None:
    found = open_ultra(save(tmp_path / "a.pth", dim=4, depth=2))
    expected = random_network(4, 2).state_dict()
    assert all(torch.equal(each, expected[name]) for name, each in found.state_dict().items())
    torch.save(expected, tmp_path / "plain.pth")
    assert open_ultra(tmp_path / "plain.pth").state_dict().keys() == expected.keys()
    assert path_of("ultra:a/b.pth") == Path("a/b.pth") and path_of(Path("runs/ultra")) is None


class Opened:
    def __reduce__(self) -> Any:
        return print, ("run when opened",)


def without(name: str) -> dict[str, Any]:
    state = random_network(4, 2).state_dict()
    del state[name]
    return {"model": state}


def changed(name: str, value: torch.Tensor) -> dict[str, Any]:
    return {"model": {**random_network(4, 2).state_dict(), name: value}}


MLP = "entity_model.mlp.2.weight"
BAD = {
    "other tensors": ({"weight": torch.zeros(2)}, "an entity model; found 1 other tensors"),
    "no tensors": ({"model": 3}, "expected a dictionary of tensors, found int"),
    "missing": (without(MLP), r"expected entity_model.mlp.2.weight with shape \(1, 8\), found none; only checkpoints"),
    "shape": (changed(MLP, torch.zeros(2, 8)), r"with shape \(1, 8\), found \(2, 8\)"),
    "nan": (changed(MLP, torch.full((1, 8), torch.nan)), "expected finite numbers, found NaN or infinity"),
    "more": (changed("extra", torch.zeros(3)), r"expected extra with shape none, found \(3,\)"),
    "objects": ({"model": Opened()}, "expected a file that torch saved, with tensors only"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_other_files_are_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = BAD[name]
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UsageError, match=message):
        open_ultra(tmp_path / "a.pth")
    assert "run when opened" not in capsys.readouterr().out


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", dim=4, depth=1)
    path.write_bytes(path.read_bytes()[:500])
    (tmp_path / "b.pth").write_bytes(pickle.dumps(3)[:-1])
    (tmp_path / "c.pth").touch()
    for name in "abc":
        with pytest.raises(UsageError, match=f"{name}.pth: expected a file that torch saved"):
            open_ultra(tmp_path / f"{name}.pth")
    with pytest.raises(UsageError, match="expected a checkpoint of ULTRA, found no such file"):
        open_ultra(tmp_path / "d.pth")
