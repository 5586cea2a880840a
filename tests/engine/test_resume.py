"""An interrupted fit, continued, ends exactly like one that was never interrupted."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from kge_data.files import writing
from mulde.engine import Clock, Method, OptimizerSpec, Record, Trainer
from mulde.errors import WriteError
from mulde.files import read_json
from mulde.kge.feeds import AnswerFeed
from mulde.vision.data.augmentation import shift
from mulde.vision.training.feeds import Beside, BoxFeed, ImageFeed
from mulde.vision.video.labelled import LabelledFrames
from tests.engine.toys import Batch, Follower, Peers, ReactiveFeed, Reader, ShuffledFeed, mean_squared_error
from tests.kge import toys as triples
from tests.vision import toys as pictures

OPTIMIZER = OptimizerSpec("adam", lr=0.05, schedule="cosine", warmup_epochs=1)


class Stopped(Exception):
    """Raised by a method to end a training as a power cut would, between two checkpoints."""


def plain() -> tuple[Method, Any]:
    return Follower(dropout=0.3), ShuffledFeed()


def reactive() -> tuple[Method, Any]:
    method = Follower(dropout=0.3)
    return method, ReactiveFeed(method.student, batches=3, repetitions=3)


def loader() -> tuple[Method, Any]:
    """A DataLoader with a generator of its own."""
    feed = ShuffledFeed()
    generator = torch.Generator().manual_seed(1)
    data = TensorDataset(feed.inputs, feed.targets)
    return Peers(), DataLoader(
        data,
        batch_size=8,
        shuffle=True,
        generator=generator,
        collate_fn=lambda rows: Batch(*map(torch.stack, zip(*rows, strict=True))),
    )


def trainer(folder: Path, every: float) -> Trainer:
    return Trainer(folder=folder, optimizers=OPTIMIZER, max_grad_norm=1.0, checkpoint_every=every, log_every=3)


def fit(folder: Path, method: Method, feed: Any, every: float = 0.0) -> Record:
    return trainer(folder, every).fit(method, feed, **ARGUMENTS)


ARGUMENTS: dict[str, Any] = {
    "epochs": 5,
    "evaluate": mean_squared_error,
    "name": "x",
    "select": ("valid/error", "max"),  # the first evaluation is the best one: a resumed fit must restore it,
    "patience": 3,  # and how long there has been nothing better
}


def stopping(made: tuple[Method, Any], step: int) -> tuple[Method, Any]:
    """The same method and feed, but the training ends in the middle of this step."""
    method, feed = made
    losses = method.losses

    def losses_until(batch: Any, clock: Clock) -> Any:
        if clock.step == step:
            raise Stopped
        return losses(batch, clock)

    method.losses = losses_until  # type: ignore[method-assign]
    return method, feed


def first_step(made: tuple[Method, Any], folder: Path) -> int:
    """The first step that a fit makes."""
    method, feed = made
    steps: list[int] = []
    after_update = method.after_update

    def note(clock: Clock) -> None:
        steps.append(clock.step)
        after_update(clock)

    method.after_update = note  # type: ignore[method-assign]
    fit(folder, method, feed)
    return steps[0]


def results(folder: Path) -> tuple[Any, ...]:
    """All results of a fit except times and durations."""
    record = read_json(folder / "x/record.json")
    del record["log_sha256"]  # the log has times
    lines = [json.loads(line) for line in (folder / "x/log.jsonl").read_text().splitlines()]
    for entry in (record, *lines):
        del entry["seconds"]
    return (
        (folder / "x/final.safetensors").read_bytes(),
        (folder / "x/best.safetensors").read_bytes(),
        record,
        lines,
    )


@pytest.mark.parametrize("make", [plain, reactive, loader])
@pytest.mark.parametrize("last_step", [0, 3, 4, 9])
def test_resume_is_exact(tmp_path: Path, make: Any, last_step: int) -> None:
    assert fit(tmp_path / "whole", *make()).stopped_by == "patience"
    with pytest.raises(Stopped):
        fit(tmp_path / "cut", *stopping(make(), last_step))
    torch.manual_seed(99)
    assert first_step(make(), tmp_path / "cut") == last_step
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def test_lines_after_the_last_checkpoint_do_not_appear_twice(tmp_path: Path) -> None:
    fit(tmp_path / "whole", *plain())
    method, feed = stopping(plain(), 13)
    run, after_update = trainer(tmp_path / "cut", every=0.0), method.after_update

    def no_checkpoint_after_five(clock: Clock) -> None:
        after_update(clock)
        run.checkpoint_every = 0.0 if clock.step < 5 else 1e9

    method.after_update = no_checkpoint_after_five  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        run.fit(method, feed, **ARGUMENTS)
    last_line = (tmp_path / "cut/x/log.jsonl").read_text().splitlines()[-1]
    assert json.loads(last_line)["step"] == 12
    assert first_step(plain(), tmp_path / "cut") == 5
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    fit(tmp_path / "whole", *plain())
    with pytest.raises(Stopped):
        fit(tmp_path / "cut", *stopping(plain(), 7))
    newest = tmp_path / "cut/x/checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(
        UserWarning, match="this checkpoint is not used, because File is not a zip file; the one before is used"
    ):
        assert first_step(plain(), tmp_path / "cut") == 6
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


@pytest.mark.parametrize(
    "broken", ["log.jsonl", "checkpoint.pt", "best.safetensors", "final.safetensors", "record.json"]
)
def test_a_full_disk_in_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """A sentence with the file, and the same call continues to the same result."""
    fit(tmp_path / "whole", *plain())
    open_file, writes = Path.open, iter(range(4))

    def full(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if path.name.startswith(broken) and set(mode) & set("wa") and next(writes, 3) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return open_file(path, mode, *arguments, **options)

    def full_at_sync(path: Path) -> None:
        if path.name.startswith(broken):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        if broken in ("log.jsonl", "checkpoint.pt"):  # written often: the fourth time
            patch.setattr(Path, "open", full)
        else:
            patch.setattr(writing, "_sync", full_at_sync)
        with pytest.raises(WriteError, match=f"{broken}: no space left on the device; free some space, and the same"):
            fit(tmp_path / "cut", *plain())
    assert not list((tmp_path / "cut/x").glob("*.partial"))
    fit(tmp_path / "cut", *plain())
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def test_a_checkpoint_cannot_carry_code(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        fit(tmp_path, *stopping(plain(), 0))
    torch.save({"at": Path("anything that is not a plain container")}, tmp_path / "x/checkpoint.pt")
    with pytest.warns(
        UserWarning, match="because it contains other objects than tensors and plain values; the fit starts anew"
    ):
        assert fit(tmp_path, *plain()).finished


def test_ctrl_c_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    fit(tmp_path / "whole", *plain())
    method, feed = plain()
    losses = method.losses

    def interrupted(batch: Any, clock: Clock) -> Any:
        if clock.step == 6:
            signal.raise_signal(signal.SIGINT)
        return losses(batch, clock)

    method.losses = interrupted
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", method, feed, every=1e9)
    state = torch.load(tmp_path / "cut/x/checkpoint.pt", weights_only=True)
    assert state["at"]["step"] == 7
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    fit(tmp_path / "cut", *plain())
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def images(batch_size: int = 20) -> ImageFeed:
    return ImageFeed(pictures.images(), batch_size, augment=shift(1), views=2)


FEEDS: dict[str, Callable[[], Any]] = {
    "shuffled": ShuffledFeed,
    "images": images,
    "one batch per epoch": lambda: images(96),
    "beside": lambda: Beside(images(), images(12)),
    "boxes": lambda: BoxFeed(pictures.boxed_split().train, 20, mirror=True),
    "frames": lambda: LabelledFrames(pictures.toy_video(), 8),
    "queries": lambda: triples.feed(triples.toy_graph(), 30),
    "answers": lambda: AnswerFeed(triples.toy_graph(), 30),
}


@pytest.mark.parametrize("name", FEEDS)
def test_ctrl_c_in_any_step_changes_nothing(tmp_path: Path, name: str) -> None:
    def weights(folder: Path, stop_at: int | None = None) -> list[Tensor]:
        feed = FEEDS[name]()
        method = Follower(dropout=0.3) if name == "shuffled" else Reader()
        after_update = method.after_update

        def interrupt(clock: Clock) -> None:
            after_update(clock)
            if clock.step == stop_at:
                signal.raise_signal(signal.SIGINT)

        method.after_update = interrupt  # type: ignore[method-assign]
        record = trainer(folder, every=1e9).fit(method, feed, epochs=3, name="x")
        assert record.steps == 3 * len(feed)
        return list(method.state_dict().values())

    whole = weights(tmp_path / "whole")
    for step in range(len(FEEDS[name]()) + 1):  # of the first pass, and the first of the second
        with pytest.raises(KeyboardInterrupt):
            weights(tmp_path / str(step), stop_at=step)
        torch.manual_seed(99)
        assert all(map(torch.equal, weights(tmp_path / str(step)), whole)), f"interrupted in step {step}"


def test_a_kill_during_evaluation_does_not_repeat_the_epoch(tmp_path: Path) -> None:
    def fit_killed_in(call: int | None) -> Record:
        calls = 0

        def evaluate(method: Method, clock: Clock) -> dict[str, float]:
            nonlocal calls
            calls += 1
            if calls == call:
                raise Stopped
            return {}

        return trainer(tmp_path, every=0.0).fit(Reader(), images(), epochs=3, evaluate=evaluate, name="x")

    for _ in range(3):
        with pytest.raises(Stopped):
            fit_killed_in(1)
    assert fit_killed_in(None).steps == 15


@pytest.mark.parametrize("pauses", [[13], [14], [1, 7, 15], [3]])
def test_a_pause_by_the_budget_leaves_no_trace(tmp_path: Path, pauses: list[int], monkeypatch: Any) -> None:
    """An evaluation at a pause counts neither for patience nor as the best one.

    In this test every step takes a second. Pauses are at the end of a pass, and inside.
    """
    now = 0.0
    monkeypatch.setattr("mulde.engine.run.time.monotonic", lambda: now)

    def stopped_by(folder: Path, budget: float | None, scores: Callable[[int], float]) -> str:
        method, feed = plain()
        after_update = method.after_update

        def second(clock: Clock) -> None:
            nonlocal now
            after_update(clock)
            now += 1.0

        def evaluate(method: Method, clock: Clock) -> dict[str, float]:
            return {"valid/error": scores(clock.step)}

        method.after_update = second  # type: ignore[method-assign]
        arguments = {**ARGUMENTS, "epochs": 50, "evaluate": evaluate, "budget_seconds": budget}
        steady = replace(OPTIMIZER, schedule="constant")  # a falling rate would reach its end with each budget
        made = Trainer(folder=folder, optimizers=steady, max_grad_norm=1.0, checkpoint_every=1e9, log_every=3)
        return made.fit(method, feed, **arguments).stopped_by

    def constant(step: int) -> float:
        return 1.0

    def better_in_pauses(step: int) -> float:
        return 1.0 if step % 4 == 0 else 2.0

    for scores in (constant, better_in_pauses):
        whole, cut = tmp_path / scores.__name__, tmp_path / f"{scores.__name__}-cut"
        assert stopped_by(whole, None, scores) == "patience"
        for step in pauses:
            assert stopped_by(cut, step, scores) == "budget"
        assert stopped_by(cut, None, scores) == "patience"
        assert results(cut)[:3] == results(whole)[:3] and results(whole)[2]["epochs"] == 4


def test_progress_reaches_one_with_the_budget(tmp_path: Path, monkeypatch: Any) -> None:
    """In this test every step takes a second; 50 epochs would take 200 steps."""
    now = 0.0
    monkeypatch.setattr("mulde.engine.run.time.monotonic", lambda: now)
    method, feed = plain()
    seen = []

    def second(clock: Clock) -> None:
        nonlocal now
        now += 1.0
        seen.append(clock.progress)

    method.after_update = second  # type: ignore[method-assign]
    for budget in (10, 20):  # continued with a larger budget, progress is as without the pause
        made = trainer(tmp_path, 1e9).fit(
            method, feed, **ARGUMENTS | {"epochs": 50, "patience": None, "budget_seconds": budget}
        )
        assert made.stopped_by == "budget"
    assert seen == [step / 10 for step in range(10)] + [step / 20 for step in range(10, 20)]


def test_a_second_ctrl_c_interrupts_at_once(tmp_path: Path) -> None:
    method, feed = plain()

    def impatient(batch: Any, clock: Clock) -> Any:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    method.losses = impatient
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, method, feed)
    assert not (tmp_path / "x/checkpoint.pt").exists()


def test_ctrl_c_in_the_last_step_finishes_and_stops_what_follows(tmp_path: Path) -> None:
    method = Peers()
    method.after_update = lambda clock: clock.step == 3 and signal.raise_signal(signal.SIGINT)  # type: ignore
    with pytest.raises(KeyboardInterrupt):
        Trainer(folder=tmp_path).fit(method, ShuffledFeed(), steps=4, name="x")
    assert Trainer(folder=tmp_path).fit(Peers(), ShuffledFeed(), steps=4, name="x").reused


@pytest.mark.thorough
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """A process forks trainings and kills them (-9) until one finishes; see killed_often.py."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "tests.engine.killed_often", str(tmp_path)]
    answer = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    kills = json.loads(answer.stdout)
    assert kills.keys() == {"reactive", "additions"}
    for kind, number in kills.items():
        assert number >= 3, "too few kills to mean anything"
        assert results(tmp_path / kind / "cut") == results(tmp_path / kind / "whole")
