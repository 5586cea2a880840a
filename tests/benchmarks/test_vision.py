"""The table of all ablation studies agrees with their records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.quality import vision

RAN = {"processor": "a processor", "date": "2026-11-30", "versions": {}, "threads": 1}


def study(variants: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """What `mulde ablate` writes, for seeds 2 and 3."""
    runs = [
        {"seed": seed, "variant": variant, "top_1": 0.7 - loss[seed - 2]}
        for seed in (2, 3)
        for variant, loss in variants.items()
    ]
    return {
        "method": "bar", "command": "mulde ablate bar", "data": "data shapes:80,size=8: 48 training images",
        "notes": "", "verdict": "", "environment": RAN, "configurations": {variant: {} for variant in variants},
        "summary": [{"variant": "baseline", "seeds": 2, "top_1": 0.5, "sd": 0.1}], "runs": runs,
    }  # fmt: skip


def test_a_study_in_a_row() -> None:
    found = vision.of_study(study({"baseline": (0.1, 0.3), "method": (0, 0), "control": (0.2, 0.2)}))
    assert vision.line(found) == {
        "data": "shapes",
        "metric": "top 1",
        "baseline": "0.500 ± 0.141",
        "with the method": "0.700 ± 0.000",
        "over baseline": "+0.200 [-1.071, +1.471]",  # t of one degree of freedom: 12.706 * 0.1
        "over control": "+0.200 [+0.200, +0.200]",
        "seeds": 2,
        "verdict": "no difference shown",
    }
    assert (found[0]["run"], found[0]["metrics"], found[0]["hardware"]) == ("baseline-2", {"top_1": 0.6}, "a processor")


def test_a_record_names_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths after --data are relative to the folder of images; the folder that is written to is left out."""

    def run(command: list[str], cwd: Path, env: dict[str, str]) -> SimpleNamespace:
        out = Path(command[-1])
        out.mkdir(parents=True)
        written = study({"baseline": (0.1, 0.3), "method": (0, 0)})
        written |= {"command": " ".join(command[2:]), "data": "data npz:a/b.npz,size=14: all training images"}
        (out / "results.json").write_text(json.dumps(written))
        (out / "table.md").write_text(f"`{written['command']}`")
        (out / "plot.png").write_bytes(b"a picture")
        assert cwd == tmp_path / "images"
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    words = ["vision", "bar", "--name", "bar_b", "--images", str(tmp_path / "images"), "--data", "npz:a/b.npz,size=14"]
    monkeypatch.setattr(sys, "argv", [*words, "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")])
    vision.main()
    command = "mulde ablate bar --data npz:a/b.npz,size=14 --threads 1"
    files = {path.name: path.read_text() for path in (tmp_path / "out/bar_b").iterdir()}
    assert files["table.md"] == f"`{command}`" and files["plot.png"] == "a picture"
    assert json.loads(files["records.jsonl"].splitlines()[0])["command"] == command
    assert not any(str(tmp_path) in text for text in files.values())
    assert "| bar_b | b " in (tmp_path / "out/table.md").read_text()
