"""SimCLRv2: three stages, two of which read no label, and the weights handed on between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mulde.engine import OptimizerSpec, Trainer
from mulde.engine.protocol import Setup
from mulde.vision.data import Split
from mulde.vision.data.splitting import few_labelled
from mulde.vision.methods import simclrv2
from mulde.vision.methods.simclrv2 import Config, Pretraining, SimCLRv2, transfer_set, with_classifier
from mulde.vision.models.projected import Projected
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels
from tests.contracts.method import check_method
from tests.losses import restated
from tests.vision import toys

ADAM = OptimizerSteps("adam", 3e-3)
SMALL: dict[str, Any] = {
    "student": "cnn-3-4",
    "teacher": "cnn-4-6",
    "shots": 2,
    "dimension": 5,
    "views": "small",
    "pretraining": Training(2, 20, "none", ADAM),
    "finetuning": Training(2, 8, "shift", ADAM),
    "training": Training(2, 20, "shift", ADAM),
}


def config(**changes: Any) -> Config:
    return Config(**{**SMALL, **changes})


def unlabelled_split() -> Split:
    split = toys.toy_split()
    return replace(split, train=split.train.unlabelled())


def pretraining_of(settings: Config, split: Split) -> Any:
    networks = simclrv2.networks(settings, split, {})
    return simclrv2.pretraining(settings, split, networks["teacher"].network, networks["head"])


def made_pretraining(**changes: Any) -> tuple[Pretraining, Any]:
    setup = pretraining_of(config(**changes), toys.toy_split())
    return setup.method, next(iter(setup.feed))


@pytest.mark.parametrize("memory", [0, 7])
def test_pretraining_obeys_the_method_contract(memory: int) -> None:
    check_method(lambda: made_pretraining(memory=memory), optimizer=OptimizerSpec("adam", lr=2e-3))


@pytest.mark.parametrize("memory", [0, 7])
def test_contrast_by_a_double_loop(memory: int) -> None:
    """-log of the partner's fraction, over the other 2b - 1 vectors and the memory."""
    method, batch = made_pretraining(memory=memory, contrast_temperature=0.3)
    method.train()
    found = method.losses(batch, toys.BEGINNING)["encoder/contrast"].item()
    with torch.no_grad():
        z = torch.cat([method.head(method.network(view).pooled) for view in batch.views]).double().numpy()
    z /= np.sqrt((z**2).sum(1, keepdims=True))
    others = method.queue.double().numpy()
    expected = []
    for i in range(len(z)):
        scores = [z[i] @ z[j] / 0.3 for j in range(len(z)) if j != i] + [z[i] @ m / 0.3 for m in others]
        partner = z[i] @ z[(i + len(z) // 2) % len(z)] / 0.3
        expected.append(np.log(np.exp(scores).sum()) - partner)
    assert found == pytest.approx(np.mean(expected), rel=1e-4)
    if not memory:
        half = len(z) // 2
        assert found == pytest.approx(restated.nt_xent(z[:half], z[half:], 0.3), rel=1e-4)


def test_the_memory_takes_the_newest_projections_of_the_average() -> None:
    method, batch = made_pretraining(memory=30, memory_momentum=0.5)
    before, net = method.queue.clone(), method.average[0].stem[0].weight.clone()
    Trainer(optimizers=ADAM, progress=False).fit(method, [batch], epochs=1, name=None)
    assert torch.equal(method.queue[len(batch) :], before[: 30 - len(batch)])
    torch.testing.assert_close(method.average[0].stem[0].weight, (net + method.network.stem[0].weight) / 2)


def test_stages_one_and_three_read_no_label() -> None:
    """The same weights, bit for bit, where every label is replaced by -1."""
    known, unknown = toys.toy_split(), unlabelled_split()
    encoders = []
    for split in (known, unknown):
        setup: Any = pretraining_of(config(), split)
        Session(0).fit(setup, config().pretraining)
        encoders.append((setup.method.network, setup.method.head))
    same(*(nn.ModuleList(parts) for parts in encoders))
    teacher = with_classifier(*encoders[0], 1, known.classes)
    nn.init.normal_(teacher.classifier.weight)
    students = []
    for split in (known, unknown):
        method, feed = toys.built(simclrv2, config(), split, {"teacher": teacher})
        assert all((batch.labels == -1).all() for batch in feed)
        Session(0).fit(Setup(method, feed), config())
        students.append(method.student)
    same(*students)


def same(first: nn.Module, second: nn.Module) -> None:
    other = second.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize(("kept", "layers", "width"), [(0, 0, 6), (1, 3, 6), (2, 6, 6), (3, 8, 5)])
def test_what_stays_of_the_head(kept: int, layers: int, width: int) -> None:
    """Linear, normalisation and ReLU of every kept layer (no ReLU after the last), then a classifier at zero."""
    method, _ = made_pretraining()
    head = method.head
    tuned = with_classifier(method.network, head, kept, 8)
    assert len(tuned.projection) == layers and tuned.classifier.in_features == width
    assert all(a is b for a, b in zip(tuned.projection, head, strict=False))
    assert not tuned.classifier.weight.any() and not tuned.classifier.bias.any()


def test_more_layers_than_there_are() -> None:
    with pytest.raises(ValueError) as error:
        config(kept=4)
    assert str(error.value) == "the head has 3 layers, of which 0 to 3 can be kept; got kept=4"


@pytest.mark.parametrize("squared", [False, True])
def test_distillation_by_hand(squared: bool) -> None:
    """-Σ softmax(t/τ) log softmax(s/τ), times α (and τ²); labels of the few, times 1 - α."""
    settings = config(alpha=0.25, squared=squared, temperature=0.5)
    split = toys.toy_split()
    method, feed = toys.built(simclrv2, settings, split)
    nn.init.normal_(method.teacher.classifier.weight)
    batch = next(iter(feed))
    method.eval()
    found = method.losses(batch, toys.BEGINNING)
    with torch.no_grad():
        own, theirs = (net(batch.images).logits.double().numpy() for net in (method.student, method.teacher))
    soft = -(restated.softmax(theirs / 0.5) * np.log(restated.softmax(own / 0.5))).sum(1).mean()
    assert found["student/soft"].item() == pytest.approx(0.25 * soft * (0.25 if squared else 1), rel=1e-4)
    known = (batch.labels >= 0).numpy()
    assert 0 < known.sum() < len(batch)
    log = np.log(restated.softmax(own[known]))
    hard = -log[np.arange(known.sum()), batch.labels[known].numpy()].mean()
    assert found["student/hard"].item() == pytest.approx(0.75 * hard, rel=1e-4)


def test_transfer_sets() -> None:
    images = toys.toy_split().train
    few = few_labelled(images, 2)
    assert len(few) == 16 and images.labels[few].bincount().tolist() == [2] * 8
    assert (transfer_set(images, config()).labels == -1).all()
    mixed = transfer_set(images, config(alpha=0.5)).labels
    assert (mixed >= 0).sum() == 16 and torch.equal(mixed[few], images.labels[few])
    labelled_only = transfer_set(images, config(alpha=0.0))
    assert len(labelled_only) == len(images)
    assert {image.numpy().tobytes() for image in labelled_only.images} == {
        image.numpy().tobytes() for image in images.images[few]
    }


def test_every_stage_feeds_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[tuple[str, Any]] = []
    fit = Session.fit

    def watched(self: Session, setup: Setup, config: Any, **options: Any) -> None:
        stages.append((options.get("name", "fit"), setup.method))
        fit(self, setup, config, **options)

    monkeypatch.setattr(Session, "fit", watched)
    found = toys.metrics(simclrv2, config(), toys.toy_split(), Session(0, common=tmp_path))
    assert [name for name, _ in stages] == ["pretraining", "finetuning", "self_distillation", "fit"]
    assert [path.name for path in tmp_path.iterdir()] == ["pretraining"]  # the stage that variants share
    pretraining, finetuning, own_kind, last = (method for _, method in stages)
    assert isinstance(finetuning.network, Projected) and finetuning.network.network is pretraining.network
    assert own_kind.teacher is finetuning.network and last.teacher is own_kind.student
    assert (own_kind.temperature, last.temperature) == (0.1, 1.0)
    assert isinstance(last, SimCLRv2) and own_kind.student.widths == (4, 6) and last.student.widths == (3, 4)
    assert set(found) == {"accuracy", "finetuned", "self_distilled"}
    stages.clear()
    toys.metrics(simclrv2, config(alpha=0.0), toys.toy_split(), Session(0))
    assert [name for name, _ in stages] == ["fit"]


def test_a_large_teacher_is_fine_tuned_on_crops_at_its_own_rate() -> None:
    config = Config()
    assert config.finetuning.optimizer.lr == pytest.approx(0.002 * 32) and config.teacher == "imagenet-resnet152x3"
    assert config.finetuning.augment == config.training.augment == "crop-flip"


def test_fine_tuning_by_lars_moves_the_new_classifier() -> None:
    """The classifier begins at zero; steps in proportion to its length would keep it there."""
    split, lars = toys.toy_split(), Config().finetuning.optimizer
    tuned = simclrv2.networks(config(), split, {})["teacher"]
    labelled = split.train[few_labelled(split.train, 4)]
    train_on_labels(tuned, labelled, Training(10, 16, "none", lars), Session(0), 0, "finetuning")
    assert lars.optimizer == "lars" and tuned.classifier.weight.norm() > 1  # 0.2 otherwise


def test_too_few_views() -> None:
    method, _ = made_pretraining()
    with pytest.raises(ValueError) as error:
        method.losses(toys.batch(), toys.BEGINNING)
    assert str(error.value) == (
        "SimCLRv2 compares two views per image; the feed delivered 0; make it with ImageFeed(..., views=2)"
    )
