"""The stage that methods share: a network trained on labels."""

from __future__ import annotations

from pathlib import Path

import torch

from mulde.engine.protocol import Setup
from mulde.vision.methods import supervised
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels
from tests.vision import toys

TRAINING = Training(2, 12, "none", OptimizerSteps("adam", 1e-3))
CONFIG = supervised.Config(student="cnn-4", training=TRAINING)


def test_a_stage_on_labels_is_supervised_training_bit_for_bit() -> None:
    split = toys.toy_split()
    as_method, feed = toys.built(supervised, CONFIG, split)
    as_stage = toys.built(supervised, CONFIG, split)[0].network
    Session().fit(Setup(as_method, feed), CONFIG)
    train_on_labels(as_stage, split.train, TRAINING, Session(), split.seed, "stage")
    assert all(map(torch.equal, as_method.network.state_dict().values(), as_stage.state_dict().values()))


def test_a_stage_keeps_its_files_under_its_name_and_is_not_repeated(tmp_path: Path) -> None:
    split, session = toys.toy_split(), Session(folder=tmp_path)
    first, again = (toys.built(supervised, CONFIG, split)[0].network for _ in range(2))
    train_on_labels(first, split.train, TRAINING, session, 0, "teacher")
    written = (tmp_path / "teacher" / "record.json").stat().st_mtime_ns
    train_on_labels(again, split.train, TRAINING, session, 0, "teacher")
    assert (tmp_path / "teacher" / "record.json").stat().st_mtime_ns == written
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
