"""JITNet: strides, queries, number of updates, the loss, and a stream that is continued."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulde.engine import OptimizerSpec, Trainer
from mulde.metrics.segmentation import mean_iou
from mulde.vision.methods import jitnet
from mulde.vision.methods.jitnet import (
    Config,
    JITNet,
    OnDemand,
    Rules,
    new_student,
    next_stride,
    weighted_cross_entropy,
)
from mulde.vision.models.jitnet import JITNetwork
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from mulde.vision.video.dense_labels import QueriedTeacher, box_weights
from mulde.vision.video.generated import drifting
from mulde.vision.video.labelled import rendered
from mulde.vision.video.predictions import Predictions
from mulde.vision.video.reading import LabelledVideo
from tests.vision import toys

SGD = OptimizerSpec("sgd", 0.01, momentum=0.9)


class Scripted(OnDemand):
    """A student whose mean IoU is read from a list, one value for every evaluation."""

    script: Iterator[float]

    def _evaluated(self, image: Any, batch: Any) -> Any:
        return super()._evaluated(image, batch)[0], next(self.script)


def scripted(figures: list[float], **rules: Any) -> Scripted:
    """A stream of as many frames as it takes, all alike to the student."""
    video = toys.toy_video()
    method = JITNet(new_student(Rules(width=0.0625), video.classes, 0))
    feed = Scripted(video, QueriedTeacher(rendered(video), video.classes), method, Rules(**rules), Predictions())
    feed.script = iter(figures)
    return feed


def test_strides_of_a_scripted_list() -> None:
    """Good doubles, bad halves, within 2 and 8; the wrong way round would give 2, 2, 2, 4, 8, ..."""
    figures = [0.9, 0.8, 0.95, 0.1, 0.2, 0.3, 0.81]  # max_updates 0: one evaluation per query
    feed = scripted(figures, target=0.8, max_updates=0, stride_min=2, stride_max=8)
    for _ in feed:
        raise AssertionError("no update is allowed")
    assert [query["stride"] for query in feed.sink.queries] == [2, 4, 8, 8, 4, 2, 2]
    assert [query["frame"] for query in feed.sink.queries] == [0, 4, 12, 20, 24, 26, 28]
    assert next(feed.script, None) is None and len(feed.sink) == 30
    assert feed.teacher.calls == 7


def test_next_stride_stays_within_bounds() -> None:
    rules = Rules(stride_min=8, stride_max=64)
    assert [next_stride(stride, True, rules) for stride in (8, 16, 32, 64)] == [16, 32, 64, 64]
    assert [next_stride(stride, False, rules) for stride in (8, 16, 32, 64)] == [8, 8, 16, 32]


def test_trains_until_good_enough_or_out_of_patience() -> None:
    """Good at once: no update; at the third evaluation: two; never: three, the maximum. Equality is enough."""
    figures = [0.8, 0.1, 0.7, 0.8, 0.1, 0.2, 0.3, 0.4]
    feed = scripted(figures, target=0.8, max_updates=3, stride_min=10, stride_max=10)
    delivered = [batch.labels for batch in feed]
    assert [query["updates"] for query in feed.sink.queries] == [0, 2, 3]
    assert [(query["before"], query["after"]) for query in feed.sink.queries] == [(0.8, 0.8), (0.1, 0.8), (0.1, 0.4)]
    assert len(delivered) == 5 and torch.equal(delivered[0], delivered[1])
    assert not torch.equal(delivered[1], delivered[2])


def test_stride_one_and_no_limit_is_training_on_every_frame() -> None:
    figures = [0.0, 0.0, 0.0, 1.0] * 30
    feed = scripted(figures, target=0.9, max_updates=None, stride_min=1, stride_max=1)
    batches = list(feed)
    assert len(batches) == 90 and feed.teacher.calls == 30
    assert [query["frame"] for query in feed.sink.queries] == list(range(30))
    expected = [rendered(toys.toy_video())(toys.toy_video().images[i], i) for i in range(30)]
    assert all(np.array_equal(batches[3 * i].labels[0], expected[i]) for i in range(30))


def test_the_feed_sees_the_student_improve() -> None:
    """On a still frame: trained until good enough, then queried less and less."""
    video = drifting(40, 48, cuts=(), objects=2, still=True, seed=3)
    method = JITNet(new_student(Rules(width=0.125), video.classes, 0))
    rules = Rules(target=0.7, max_updates=None, stride_min=1, stride_max=16, width=0.125)
    feed = OnDemand(video, QueriedTeacher(lambda image, number: video.labels[0], 3), method, rules, Predictions())
    record = Trainer(optimizers=OptimizerSpec("adam", 0.01), progress=False).fit(method, feed, epochs=1, name=None)
    queries = feed.sink.queries
    assert sum(query["updates"] for query in queries) == record.steps and all(
        query["after"] >= 0.7 for query in queries
    )
    assert queries[0]["updates"] > record.steps / 2
    assert [query["stride"] for query in queries] == [1, 2, 4, 8, 16]
    assert mean_iou(feed.sink[39], video.labels[39], 3) >= 0.65


def test_loss_by_hand() -> None:
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.randint(-1, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    weights = torch.where(torch.arange(5) > 2, 5.0, 1.0).expand(2, 4, 5)
    total, count = 0.0, 0
    for b in range(2):
        for y in range(4):
            for x in range(5):
                if (label := int(labels[b, y, x])) >= 0:
                    scores = logits[b, :, y, x].numpy()
                    total += float(weights[b, y, x]) * (np.log(np.exp(scores).sum()) - scores[label])
                    count += 1
    assert weighted_cross_entropy(logits, labels, weights).item() == pytest.approx(total / count)
    assert weighted_cross_entropy(logits, torch.full_like(labels, -1), weights).item() == 0


def test_batches_carry_the_weights_of_the_boxes() -> None:
    video = toys.toy_video()
    _, feed = toys.built(jitnet, Config(width=0.0625, box_weight=7.0, box_margin=0.5), video)
    batch = next(iter(feed))
    assert set(batch.weights.unique().tolist()) == {1.0, 7.0}
    assert (batch.weights[batch.labels > 0] == 7).all()
    plain = next(iter(toys.built(jitnet, Config(width=0.0625, box_weight=1.0), video)[1]))
    assert (plain.weights == 1).all() and torch.equal(plain.labels, batch.labels)


def test_predictions_of_every_frame_are_the_students() -> None:
    method, feed = toys.built(jitnet, Config(width=0.0625, max_updates=0), toys.toy_video())
    before = {key: value.clone() for key, value in method.state_dict().items()}
    method.train()
    assert not list(feed)
    assert method.training and all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    image = toys.toy_video().images[17]
    assert np.array_equal(feed.sink[17], method.classes(image)) and len(feed.sink) == 30


class Cut(Exception):
    """A power cut."""


def test_a_cut_stream_continues_with_the_same_labels_and_maps(tmp_path: Path) -> None:
    """Killed in the middle of a frame's updates: the rest is equal bit for bit."""
    rules = {"width": 0.0625, "stride_min": 4, "stride_max": 8, "statistics": "running", "max_updates": 3}

    def follow(folder: Path, stop_at: int | None = None) -> tuple[OnDemand, dict[str, torch.Tensor]]:
        sink = Predictions(folder / "maps")
        method, feed = toys.built(jitnet, Config(**rules), toys.toy_video(), sink=sink)  # type: ignore[arg-type]
        losses = method.losses

        def until(batch: Any, clock: Any) -> Any:
            if clock.step == stop_at:
                raise Cut
            return losses(batch, clock)

        method.losses = until  # type: ignore[method-assign]
        Trainer(folder=folder, optimizers=SGD, checkpoint_every=0.0, progress=False).fit(method, feed, epochs=1)
        return feed, method.state_dict()

    whole, weights = follow(tmp_path / "whole")
    with pytest.raises(Cut):
        follow(tmp_path / "cut", stop_at=4)
    resumed, again = follow(tmp_path / "cut")
    assert all(torch.equal(value, again[key]) for key, value in weights.items())
    assert untimed(resumed.sink.queries) == untimed(whole.sink.queries) and len(whole.sink.queries) > 3
    assert all(np.array_equal(resumed.sink[i], whole.sink[i]) for i in range(30))
    assert resumed.teacher.calls == whole.teacher.calls - 2  # the second answer, half used, was kept


def untimed(queries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in query.items() if key != "seconds"} for query in queries]


def test_run_is_two_stages_and_finished_ones_are_reused(tmp_path: Path) -> None:
    config = Config(width=0.0625, pretraining=Training(1, 40, "none", OptimizerSteps("adam", 1e-3)))
    first = toys.metrics(jitnet, config, toys.toy_video(), Session(0, tmp_path))
    assert set(first) == {"iou", "query_fraction", "updates"} and 0 <= first["iou"] <= 1
    assert (tmp_path / "pretraining/record.json").exists() and (tmp_path / "fit/record.json").exists()
    assert toys.metrics(jitnet, config, toys.toy_video(), Session(0, tmp_path)) == first


def test_where_every_frame_was_queried_all_are_evaluated() -> None:
    video, sink = toys.toy_video(), Predictions()
    for number, labels in enumerate(video.labels):
        sink.put(number, labels if number else 1 - labels.clip(0, 1))  # only the first map is wrong
    first = mean_iou(sink[0], video.labels[0], video.classes)
    for queried, expected in (([0, 7], 1.0), (range(30), (first + 29) / 30)):
        sink.finish([{"frame": frame, "updates": 0} for frame in queried])
        assert jitnet.quality(video, sink, Config())["iou"] == pytest.approx(expected)
    assert first < 0.5


def test_shuffled_labels_are_the_same_pixels_elsewhere() -> None:
    video = toys.toy_video()
    true, shuffled = (
        next(iter(toys.built(jitnet, Config(width=0.0625, shuffled=s), video)[1])).labels for s in (False, True)
    )
    assert torch.equal(true.flatten().bincount(), shuffled.flatten().bincount()) and not torch.equal(true, shuffled)


@pytest.mark.thorough
def test_the_stride_grows_while_nothing_changes_and_falls_after_a_cut() -> None:
    """A still picture of 110 frames, then another one, on which the student fails at first."""
    first, second = (drifting(1, 48, cuts=(), objects=2, kinds=1, seed=seed) for seed in (0, 1))
    images, labels = (
        np.concatenate([getattr(first, name).repeat(110, 0), getattr(second, name).repeat(50, 0)])
        for name in ("images", "labels")
    )
    video, rules = LabelledVideo(images, labels, 2, 0), Rules(width=0.125, stride_max=32)
    method = JITNet(new_student(rules, 2, 0))
    feed = OnDemand(
        video, QueriedTeacher(lambda image, number: video.labels[number], 2, 5.0), method, rules, Predictions()
    )
    Trainer(optimizers=SGD, progress=False).fit(method, feed, epochs=1, name=None)
    before, after = ([v for v in feed.sink.queries if (v["frame"] < 110) is early] for early in (True, False))
    assert before[-1]["stride"] == rules.stride_max
    assert after[0]["before"] < 0.1 and after[0]["updates"] == 8
    assert after[1]["stride"] == rules.stride_max / 2
    assert all(query["updates"] <= 8 for query in before + after)
    assert all(query["updates"] == 0 for query in before + after if query["before"] >= rules.target)


@pytest.mark.slow
def test_small_objects_profit_from_their_weight() -> None:
    """IoU after 8 updates on one frame whose objects are small (radius 3 to 7 pixels), W = 5 against W = 1."""
    gains = []
    for seed in range(10):
        video, found = drifting(1, 52, cuts=(), objects=2, kinds=1, seed=seed), {}
        for weight in (1.0, 5.0):
            rules = Rules(width=0.125, box_weight=weight, target=1.0)
            method = JITNet(new_student(rules, 2, seed))
            feed = OnDemand(video, QueriedTeacher(rendered(video), 2, weight), method, rules, Predictions())
            Trainer(optimizers=SGD, progress=False).fit(method, feed, epochs=1, name=None)
            found[weight] = mean_iou(feed.sink[0], video.labels[0], 2)
        gains.append(found[5.0] - found[1.0])
    assert np.mean(gains) > 0.05  # 0.15 when this was written


def test_network_at_several_widths() -> None:
    """The authors' channels at 0.5; any size of frame; every stage reaches the loss."""
    net = JITNetwork(20, 0.5)
    convolutions = [module.out_channels for module in net.stem if isinstance(module, torch.nn.Conv2d)]
    assert convolutions == [8, 32] and net.widths == (64, 64, 128)
    assert [block.first.out_channels for block in (net.deep, net.middle, net.shallow)] == [128, 64, 32]
    assert [module.out_channels for module in net.end if isinstance(module, torch.nn.Conv2d)] == [32, 20]
    for width, size in ((0.25, (75, 41)), (1.0, (64, 64))):
        found = JITNetwork(3, width)(torch.randn(1, 3, *size))
        assert found.logits.shape == (1, 3, *size)
        assert [stage.shape[2] for stage in found.stages] == [-(-size[0] // n) for n in (8, 16, 32)]
        gradients = torch.autograd.grad(found.logits.square().sum(), found.stages)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)
    with pytest.raises(ValueError) as error:
        net(torch.randn(1, 3, 32, 64))
    assert str(error.value) == "JITNet halves its maps five times; frames need more than 32 pixels, got 32x64"


def test_a_block_keeps_its_shortcut_where_channels_agree() -> None:
    net = JITNetwork(3, 0.5)
    assert net.encoder[0].shortcut is not None and net.encoder[1].shortcut is None
    block = net.encoder[1]
    for parameter in (block.column.weight, block.column.bias):
        torch.nn.init.zeros_(parameter)
    features = torch.randn(1, 64, 9, 9)
    assert torch.equal(block(features), features[:, :, ::2, ::2])


def test_bounds_of_strides() -> None:
    with pytest.raises(ValueError) as error:
        Rules(stride_min=16, stride_max=8)
    assert str(error.value) == "strides are counted in frames and need 1 <= least <= largest; got 16 to 8"


def test_box_weights_by_hand() -> None:
    """A 10 x 20 box, a tenth of its sides further on each side: 12 x 24, cut off at the border."""
    weights = box_weights([(2, 0, 12, 20)], (20, 30), 5.0, 0.1)
    expected = np.ones((20, 30))
    expected[1:13, 0:22] = 5
    assert np.array_equal(weights, expected)
