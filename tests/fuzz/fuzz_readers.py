"""Every reader on changed files, for the minutes of `make fuzz`. Not part of `make test`, which has a sample of it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest

from tests.fuzz.mutation import mutated
from tests.fuzz.subjects import SUBJECTS, Subject, answer

SLOW = 30  # seconds for one small file
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_changed_files(
    subject: Subject, tmp_path: Path, seconds: float, record_property: Callable[[str, int], None]
) -> None:
    good, first, begun = subject.content(), random.SystemRandom().getrandbits(40), time.monotonic()
    for seed in count(first):
        content, before = mutated(good, random.Random(seed)), time.monotonic()
        try:
            answer(subject, content, tmp_path)
        except BaseException as error:
            raise AssertionError(f"{subject.name}, seed {seed}: {content[:1000]!r}") from error
        now = time.monotonic()
        assert now - before < SLOW, f"{subject.name}, seed {seed}: took {now - before:.0f} s"
        if now - begun > seconds:
            record_property("changed files", seed - first + 1)
            print(f"{subject.name}: {seed - first + 1:,} files")
            return


@pytest.mark.parametrize("number", range(len(SUBJECTS)) if find_spec("atheris") else ())
def test_changed_files_guided_by_coverage(number: int, seconds: float) -> None:
    command = [sys.executable, "-m", "tests.fuzz.guided", str(number), str(max(1, int(seconds)))]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
