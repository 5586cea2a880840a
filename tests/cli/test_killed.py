"""Commands that are killed (SIGKILL) at a step: older files stay, and the same command gives the same bytes.

A fit, a folder and a file of a graph, and three ways to train on pictures. `make fuzz` kills all commands that write,
at any moment.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest

from mulde import cli
from tests.contracts.killed_each import killed_each
from tests.contracts.steps import at_each_step
from tests.contracts.verbs import WRITERS, contents, leftovers, make_inputs, result_of, without_leftovers
from tests.vision.distillation.tiny import words

CYCLES = (
    "method.temperature=1:4",
    "optimizer.weight_decay=1e-4:1e-2:3",
    "feed.batch_size=16:32",
    "max_grad_norm=2:0.5",
)
ADDED = {
    "epochs": 3,
    "cycle": (*CYCLES, "feed.augment_share=0:1"),
    "max_grad_norm": 1,
    "augment": "shift",
    "average": "swa",
    "place_dropout": 0.5,
    "place_tau": 1,
}
"""Mechanisms that work with every method; the batches differ between the passes."""


@dataclass(frozen=True)
class Killed:
    """A command, and when it is killed: before the n-th time of a step, or before the step that follows."""

    words: Sequence[str]
    step: str
    times: int = 1
    done: bool = False
    """Whether that step is done."""
    kind: str = "run"
    """As for `Writer`."""
    result: str = "out"


def _verb(name: str, step: str) -> Killed:
    return Killed(WRITERS[name].words, step, kind=WRITERS[name].kind, result=WRITERS[name].result)


def _on_pictures(name: str, step: str, times: int, **options: object) -> Killed:
    return Killed([*words(name, batch_size=24, checkpoint_every=0, **options), "--out", "out"], step, times, done=True)


COMMANDS = {
    "train": _verb("train", "file out/fit/final.safetensors/final.safetensors"),
    "export to tsv": _verb("export to tsv", "names out"),
    "pack to zip": _verb("pack to zip", "file out.zip"),
    "kd": _on_pictures("kd", "file out/fit/checkpoint.pt", 9, **ADDED),
    "simclrv2": _on_pictures("simclrv2", "file out/pretraining/checkpoint.pt", 2),
    "fedntd": _on_pictures("fedntd", "file out/rounds/checkpoint.pt", 2),
}
"""The trainings on pictures are killed in the middle of an epoch, or after a round."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs, and two for each command: `whole`, where it has finished, and `cut`."""
    folder, jobs = tmp_path_factory.mktemp("killed"), []
    (folder / "inputs").mkdir()
    with chdir(folder / "inputs"):
        make_inputs(Path())
    for name, command in COMMANDS.items():
        steps: list[str] = []
        for place in ("whole", "cut"):
            shutil.copytree(folder / "inputs", folder / name / place)
        with chdir(folder / name / "whole"), at_each_step(steps.append):
            assert cli.main([*command.words]) == 0
        number = [i for i, step in enumerate(steps) if step == command.step][command.times - 1]
        jobs.append((number + command.done, str(folder / name / "cut"), command.words))
    killed_each(jobs)
    return folder


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_kill(name: str, killed: Path) -> None:
    command, before, cut = COMMANDS[name], contents(killed / "inputs"), killed / name / "cut"
    after, whole = contents(cut), contents(killed / name / "whole")
    assert {each: after[each] for each in before} == before and (command.done or leftovers(cut))
    assert without_leftovers(after) != whole
    assert command.kind == "run" or result_of(command.result, after) == {}
    with chdir(cut):
        assert cli.main([*command.words]) == 0
    assert without_leftovers(contents(cut)) == whole
    assert command.kind != "run" or not leftovers(cut)


def test_the_cycles_have_their_values(killed: Path) -> None:
    """T of the pair of student and teacher, and the numbers of the feed, which change once per pass."""
    lines = map(json.loads, (killed / "kd/whole/out/fit/log.jsonl").read_text().splitlines())
    found = [{name: line[name] for name in line if name.startswith("scheduled/")} for line in lines if "epoch" in line]
    sizes = [each["scheduled/feed.batch_size"] for each in found]
    assert sizes[0] == 16 and max(sizes) > 24
    assert max(each["scheduled/method.temperature"] for each in found) > 2
    assert min(each["scheduled/feed.augment_share"] for each in found) == 0
