"""`mulde distil` on pictures, killed in the middle (SIGKILL): the same command gives the same bytes."""

from __future__ import annotations

import json
import os
from contextlib import chdir
from pathlib import Path

import pytest

from mulde import cli
from tests.contracts.killed_each import killed_each
from tests.contracts.steps import at_each_step
from tests.contracts.verbs import contents, without_leftovers
from tests.vision.distillation.tiny import words

STEPS = {
    "kd": ("file out/fit/checkpoint.pt", 9),
    "simclrv2": ("file out/pretraining/checkpoint.pt", 2),
    "fedntd": ("file out/rounds/checkpoint.pt", 2),
}
"""A method -> the step after whose n-th time it is killed: in the middle of an epoch, or after a round."""
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
COMMANDS = {
    name: [*words(name, **{"batch_size": 24, "checkpoint_every": 0, **(ADDED if name == "kd" else {})}), "--out", "out"]
    for name in STEPS
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two for each method: `whole` with a finished run, `cut` with one whose process was killed."""
    folder, jobs = tmp_path_factory.mktemp("killed"), []
    for name, command in COMMANDS.items():
        steps: list[str] = []
        for place in ("whole", "cut"):
            (folder / name / place).mkdir(parents=True)
        with chdir(folder / name / "whole"), at_each_step(steps.append):
            assert cli.main(command) == 0
        step, time = STEPS[name]
        number = [i for i, each in enumerate(steps) if each == step][time - 1] + 1
        jobs.append((number, str(folder / name / "cut"), command))
    killed_each(jobs)
    return folder


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", STEPS)
def test_a_kill(name: str, killed: Path) -> None:
    cut, whole = killed / name / "cut", killed / name / "whole"
    assert (cut / STEPS[name][0].removeprefix("file ")).exists()
    assert not (cut / "out/summary.json").exists()
    with chdir(cut):
        assert cli.main(COMMANDS[name]) == 0
    assert without_leftovers(contents(cut)) == contents(whole)


def test_the_cycles_have_their_values(killed: Path) -> None:
    """T of the pair of student and teacher, and the numbers of the feed, which change once per pass."""
    lines = map(json.loads, (killed / "kd/whole/out/fit/log.jsonl").read_text().splitlines())
    found = [{name: line[name] for name in line if name.startswith("scheduled/")} for line in lines if "epoch" in line]
    sizes = [each["scheduled/feed.batch_size"] for each in found]
    assert sizes[0] == 16 and max(sizes) > 24
    assert max(each["scheduled/method.temperature"] for each in found) > 2
    assert min(each["scheduled/feed.augment_share"] for each in found) == 0
