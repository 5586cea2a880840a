"""Every reader answers with a result or with one of our errors, whatever the bytes. `make fuzz` runs it for longer."""

from __future__ import annotations

import random
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kge_data.errors import UsageError
from tests.fuzz.mutation import mutated
from tests.fuzz.subjects import SUBJECTS, Subject, answer

NAMES = [subject.name for subject in SUBJECTS]


@cache
def _good(subject: Subject) -> bytes:
    return subject.content()


@pytest.mark.parametrize("subject", SUBJECTS, ids=NAMES)
@settings(max_examples=25, deadline=None)
@given(draw=st.randoms(use_true_random=False), noise=st.none() | st.binary(max_size=40))
def test_changed_bytes(subject: Subject, draw: random.Random, noise: bytes | None) -> None:
    content = mutated(_good(subject), draw) if noise is None else noise
    with tempfile.TemporaryDirectory() as folder:
        answer(subject, content, Path(folder))


@pytest.mark.parametrize("subject", SUBJECTS, ids=NAMES)
def test_the_good_files_are_read(subject: Subject, tmp_path: Path) -> None:
    assert not isinstance(answer(subject, _good(subject), tmp_path), UsageError)
