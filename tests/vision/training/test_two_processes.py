"""`torchrun -m mulde ablate` with two processes: each takes its part of every batch, or all of one that stays whole."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from mulde.vision.methods import jitnet, kd, simclrv2
from mulde.vision.training.feeds import BoxFeed, ImageFeed
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.video.labelled import LabelledFrames
from tests.vision import toys

ROOT = Path(__file__).resolve().parents[3]
OWN = '''"""Mine: plain training of a network without normalisation."""
from mulde.vision.methods.supervised import Config, build, networks
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.ablation.study import Study
training = Training(2, 16, "shift-flip", OptimizerSteps("sgd", 0.05, momentum=0.9))
STUDY = Study(
    config=Config(student="mlp-16", training=training),
    variants={"baseline": {}, "method": {}}, metric="accuracy", data="shapes:91,size=8",
)
'''


def ablate(folder: Path, processes: int, method: str, *words: str) -> str:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if processes == 2 else []
    places = ["--out", f"out{processes}", "--seeds", "1", "--threads", "1", "--json"]
    command = [sys.executable, *launch, "-m", "mulde", "ablate", method, *words, *places]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Batches of 16, the last one of 14 images less: float32 sums in another order are all that differs."""
    (tmp_path / "mine.py").write_text(OWN)
    one, two = (json.loads(ablate(tmp_path, n, "mine.py", "--variant", "baseline")) for n in (1, 2))
    assert one["runs"] == two["runs"]
    places = (tmp_path / f"out{n}/seed-0/baseline/fit" for n in (1, 2))
    weights = [safetensors.torch.load_file(place / "final.safetensors") for place in places]
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], rtol=0, atol=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dogo", "colad"])
def test_losses_that_compare_or_count_images_see_whole_batches(tmp_path: Path, method: str) -> None:
    words = (method, "--fraction", "0.07", "--variant", "method")
    one, two = (json.loads(ablate(tmp_path, n, *words)) for n in (1, 2))
    assert one["runs"] == two["runs"]


def test_parts_make_up_the_batch() -> None:
    images = toys.toy_split().train

    def feed() -> ImageFeed:
        return ImageFeed(images, 16, augment=lambda x: x + torch.rand(()))

    feeds = [feed() for _ in range(3)]
    for rank, part_of in enumerate(feeds):
        part_of.divide(rank, 3)
    for batch, *parts in zip(feed(), *feeds, strict=True):
        for name in ("images", "labels", "index"):
            rows = torch.empty_like(getattr(batch, name))
            for rank, part in enumerate(parts):
                rows[rank::3] = getattr(part, name)
            assert torch.equal(rows, getattr(batch, name))
        counts = [len(range(rank, len(batch), 3)) for rank in range(3)]  # the last batch has one image
        assert [part.weight for part in parts] == [3 * count / len(batch) for count in counts]


@pytest.mark.parametrize("soft", ["kd", "dist", "rkd", "similarity"])
def test_which_batches_stay_whole(soft: kd.Soft) -> None:
    config = kd.Config(
        student="cnn-4", teacher=("cnn-4",), soft=soft, training=Training(1, 12, "none", OptimizerSteps())
    )
    feed = toys.built(kd, dataclasses.replace(config, hint_stage=0), toys.toy_split())[1]
    feed.divide(1, 2)
    assert len(next(iter(feed))) == (6 if soft == "kd" else 12)


def test_views_are_not_divided() -> None:
    feed = ImageFeed(toys.toy_split().train, 12, augment=lambda x: x, views=2)
    feed.divide(1, 2)
    batch = next(iter(feed))
    assert len(batch) == 12 and batch.views is not None and batch.views.shape[:2] == (2, 12) and batch.weight == 1


def test_images_with_boxes_are_not_divided() -> None:
    feed, whole = (BoxFeed(toys.boxed_split().train, 16, mirror=True) for _ in range(2))
    feed.divide(1, 2)
    for batch, expected in zip(feed, whole, strict=True):
        assert torch.equal(batch.index, expected.index) and torch.equal(batch.boxes, expected.boxes)


@pytest.mark.parametrize(("alpha", "images"), [(0.0, 6), (0.5, 12), (1.0, 6)])
def test_a_batch_whose_labelled_images_are_counted_is_not_divided(alpha: float, images: int) -> None:
    training = Training(1, 12, "none")
    config = simclrv2.Config(student="cnn-4", teacher="cnn-4", views="small", alpha=alpha, training=training)
    feed = toys.built(simclrv2, config, toys.toy_split())[1]
    feed.divide(1, 2)
    assert len(next(iter(feed))) == images


def test_a_stream_and_rounds_are_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    video = toys.toy_video()
    stream = toys.built(jitnet, jitnet.Config(width=0.125), video)[1]
    for feed in (stream, LabelledFrames(video, 4)):
        with pytest.raises(ValueError, match="a stream is followed by one process, frame by frame; got 2; start"):
            feed.divide(0, 2)
    if importlib.util.find_spec("flwr") is None:
        return
    from mulde.federated import rounds

    monkeypatch.setattr(rounds, "_trainer", lambda device: SimpleNamespace(device=SimpleNamespace(processes=2)))
    with pytest.raises(ValueError, match="rounds are run in one process, here are 2; start one, or give clients"):
        rounds.federate(SimpleNamespace(device="cpu"))
