"""`mulde distil` on pictures, killed in the middle (SIGKILL): the same command gives the same bytes."""

from __future__ import annotations

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
    "kd": "file out/fit/checkpoint.pt",
    "simclrv2": "file out/pretraining/checkpoint.pt",
    "fedntd": "file out/rounds/checkpoint.pt",
}
"""A method -> the step after whose second time it is killed: in the middle of an epoch, or after a round."""
COMMANDS = {name: [*words(name, batch_size=12, checkpoint_every=0), "--out", "out"] for name in STEPS}


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
        number = [i for i, each in enumerate(steps) if each == STEPS[name]][1] + 1
        jobs.append((number, str(folder / name / "cut"), command))
    killed_each(jobs)
    return folder


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", STEPS)
def test_a_kill(name: str, killed: Path) -> None:
    cut, whole = killed / name / "cut", killed / name / "whole"
    assert (cut / STEPS[name].removeprefix("file ")).exists()
    assert not (cut / "out/summary.json").exists()
    with chdir(cut):
        assert cli.main(COMMANDS[name]) == 0
    assert without_leftovers(contents(cut)) == contents(whole)
