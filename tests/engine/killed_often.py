"""Trains once without interruption, then again with `kill -9` at random moments; prints the numbers of kills.

    python -m tests.engine.killed_often FOLDER

The trainings are forks of this process, so that each starts within milliseconds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from mulde.engine import (
    LossDrivenRate,
    Method,
    OptimizerSpec,
    ScheduledNumbers,
    SharpnessAware,
    Trainer,
    WeightAverage,
    cyclical,
    linear,
)
from tests.engine.toys import Follower, Normalised, ReactiveFeed, ShuffledFeed, mean_squared_error

LEAST, ENOUGH = 3, 5  # fewest kills that prove something, and most kills


def train(kind: str, folder: Path, checkpoint_every: float) -> None:
    method: Any = Normalised() if kind == "additions" else Follower(dropout=0.3)
    feed: Any = ReactiveFeed(method.student, batches=10) if kind == "reactive" else ShuffledFeed(examples=40)
    trainer = Trainer(
        folder=folder,
        optimizers=OptimizerSpec(lr=0.01),
        **(additions() if kind == "additions" else {}),
        checkpoint_every=checkpoint_every,
        log_every=7,
        progress=False,
    )
    trainer.fit(method, feed, steps=60, evaluate=evaluate, eval_every=5, name="x", select=("valid/error", "min"))


def additions() -> dict[str, Any]:
    """Every mechanism that works with any method, with state of its own."""
    numbers = {
        "optimizer.weight_decay": cyclical(0.0, 0.1),
        "method.student.2.p": linear(0.0, 0.5),
        "feed.batch_size": linear(4, 10),
        "max_grad_norm": cyclical(2.0, 0.5, factor=4),
    }
    callbacks = [WeightAverage("swa", every=3, begin_at=0.3), LossDrivenRate(0.99), ScheduledNumbers(numbers)]
    return {"accumulate": 2, "max_grad_value": 1.0, "rule": SharpnessAware(), "callbacks": callbacks}


def evaluate(method: Method, clock: Any) -> dict[str, float]:
    return mean_squared_error(method, clock)


def kills_until_finished(kind: str, folder: Path) -> int:
    started = time.monotonic()
    train(kind, folder / "whole", checkpoint_every=1e9)
    longest = 0.2 * (time.monotonic() - started)
    while (kills := killed(kind, folder / "cut", longest)) < LEAST:  # it finished too early
        shutil.rmtree(folder / "cut")
        longest /= 2
    return kills


def killed(kind: str, folder: Path, longest: float) -> int:
    """Kills, each after at most `longest` seconds, until the training is finished."""
    moments = random.Random()
    for kills in range(ENOUGH + 1):
        child = os.fork()
        if child == 0:
            train(kind, folder, checkpoint_every=0.02)
            os._exit(0)
        if kills == ENOUGH:
            assert os.waitpid(child, 0)[1] == 0, "the last training failed"
            break
        time.sleep(moments.uniform(0.1, 1) * longest)
        if os.waitpid(child, os.WNOHANG)[0] == child:
            break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return kills


if __name__ == "__main__":
    torch.set_num_threads(1)
    kinds = ("reactive", "additions")
    print(json.dumps({kind: kills_until_finished(kind, Path(sys.argv[1]) / kind) for kind in kinds}))
