"""ProC-KD: losses of the prototypes and of the student, teachers of other classes, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.losses.prototypes import assignment_logits
from mulde.vision.methods import proc_kd
from mulde.vision.methods.proc_kd import Config, ProCKD, Prototypes, bank_figures, local_features
from mulde.vision.models import network
from mulde.vision.models.own_classes import WithClasses
from mulde.vision.models.prototypes import PrototypeBank, PrototypeNetwork
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.losses import restated
from tests.vision import toys

ONE = Training(1, 12, "none", OptimizerSteps("adam", 1e-2))
SMALL: dict[str, Any] = {
    "student": "cnn-4-6", "teacher": "cnn-5-6-8", "prototypes": 5, "training": ONE, "teacher_training": ONE,
    "prototype_training": ONE, "align_weight": 0.5,
}  # fmt: skip


def made(**changes: Any) -> tuple[ProCKD, Any]:
    """The method and a batch in float64, with a bank whose mean and deviation are those of the features."""
    config, data = Config(**{**SMALL, **changes}), toys.toy_split()
    networks = proc_kd.networks(config, data, {})
    torch.manual_seed(0)
    networks["bank"].begin(local_features(networks["teacher"], data.train))
    method: ProCKD = proc_kd.build(config, data, networks).double()
    batch = toys.batch()
    method.outputs = lambda images, rows: method.teacher(images)  # type: ignore[assignment]  # not cached in float32
    return method, replace(batch, images=batch.images.double())


def rows_of(features: Tensor) -> Any:
    """(b, d, h, w) -> (b, h * w, d), position by position."""
    _, _, height, width = features.shape
    values = features.detach().numpy()
    return np.stack([values[:, :, i, j] for i in range(height) for j in range(width)], 1)


def assigned(features: Any, prototypes: Any) -> Any:
    """softmax(cos / 0.1), one pair at a time."""
    cosines = [[[f @ p / (np.sqrt(f @ f) * np.sqrt(p @ p)) for p in prototypes] for f in image] for image in features]
    return restated.softmax(np.array(cosines) / 0.1)


def test_losses_equal_numpy() -> None:
    method, batch = made()
    student = method.student
    assert isinstance(student, PrototypeNetwork)
    torch.nn.init.normal_(student.gate)
    prototypes = student.prototypes.numpy()
    found = method.losses(batch, toys.BEGINNING)
    trunk, theirs = (net(batch.images).stages[-1] for net in (student.network, method.teacher))
    assert trunk.shape[2:] == (4, 4) and theirs.shape[2:] == (2, 2), "the student's map is the larger one"
    weight, bias = (p.detach().numpy() for p in student.projection.parameters())
    f = rows_of(trunk) @ weight[:, :, 0, 0].T + bias
    gate = 1 / (1 + np.exp(-student.gate.detach().numpy()))
    augmented = f + gate * (assigned(f, prototypes) @ prototypes @ student.mixing.weight.detach().numpy().T)
    head, offset = (p.detach().numpy() for p in student.classifier.parameters())
    p = restated.softmax(augmented.mean(1) @ head.T + offset)
    labels = batch.labels.numpy()
    assert found["student/hard"].item() == pytest.approx(-np.log(p[range(len(p)), labels]).mean(), abs=1e-9)
    quarters = f.reshape(-1, 2, 2, 2, 2, 8).mean((2, 4)).reshape(-1, 4, 8)
    standard = (rows_of(theirs) - method.bank.mean.numpy()) / method.bank.deviation.numpy()
    pairs = [
        restated.kl(target, own)
        for targets, owns in zip(assigned(standard, prototypes), assigned(quarters, prototypes), strict=True)
        for target, own in zip(targets, owns, strict=True)
    ]
    assert found["student/align"].item() == pytest.approx(0.5 * np.mean(pairs), abs=1e-9)


def test_the_bank_equals_numpy() -> None:
    method, batch = made()
    config = Config(**SMALL).of_bank
    learning = Prototypes(method.bank.requires_grad_(), method.teacher, config, toys.toy_split().train)
    learning.outputs = method.outputs
    found = {name: value.item() for name, value in learning.losses(batch, toys.BEGINNING).items()}
    prototypes = method.bank.prototypes.detach().numpy()
    features = rows_of(method.teacher(batch.images).stages[-1])
    features = (features - method.bank.mean.numpy()) / method.bank.deviation.numpy()
    a = assigned(features, prototypes)
    mean = a.mean((0, 1))
    expected = {
        "bank/reconstruction": ((features - a @ prototypes) ** 2).mean(),
        "bank/usage": 0.1 * (np.log(5) + (mean * np.log(mean)).sum()),
    }
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_bank_begins_standardised_and_learns() -> None:
    """More variance is reconstructed than by random prototypes, and no prototype is out of use."""
    data, config = toys.toy_split(), Config(**{**SMALL, "prototype_training": replace(ONE, epochs=15)})
    nets = proc_kd.networks(config, data, {})
    teacher, bank = nets["teacher"], nets["bank"]
    features = local_features(teacher, data.train)
    values = bank_figures(bank, features)
    bank.begin(features)
    standard = bank.standardised(features)
    assert standard.mean(0).abs().max() < 1e-5 and (standard.var(0) - 1).abs().max() < 0.01
    assert all((standard == prototype).all(1).any() for prototype in bank.prototypes), "features as they are"
    first = bank_figures(bank, features)
    Session().fit(Prototypes(bank, teacher, config.of_bank, data.train), config.of_bank, data=data)
    last = bank_figures(bank, features)
    assert values["prototype_r2"] < first["prototype_r2"] < last["prototype_r2"] < 1
    assert 4 < last["prototype_perplexity"] <= 5


def test_the_control_changes_more_than_the_order_of_prototypes() -> None:
    """A permutation of whole prototypes has no effect on any assignment; one of their numbers has."""
    features, prototypes = torch.randn(7, 6), torch.randn(5, 6)
    order = torch.randperm(5)
    found = assignment_logits(features, prototypes[order], 0.1).softmax(1) @ prototypes[order]
    assert torch.allclose(found, assignment_logits(features, prototypes, 0.1).softmax(1) @ prototypes, atol=1e-5)
    plain, shuffled = made()[0], made(shuffled=True)[0]
    own, other = plain.bank.prototypes, shuffled.bank.prototypes
    assert not torch.equal(own, other) and torch.equal(own.sort(1).values, other.sort(1).values)
    assert all(torch.equal(each.bank.prototypes, each.student.prototypes) for each in (plain, shuffled))


def test_a_teacher_of_other_classes(tmp_path: Any) -> None:
    """A given teacher without logits for these classes; the prototypes stay in the student that is kept."""
    data, config = toys.toy_split(), Config(**SMALL)
    teacher = WithClasses(network("cnn-5-6-8", 3, 1, size=8), [])
    nets = proc_kd.networks(config, data, {"teacher": teacher})
    trained = proc_kd.run(config, data, Session(folder=tmp_path), nets)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"prototypes", "fit"}
    assert isinstance(trained.student, PrototypeNetwork) and trained.student.prototypes.count_nonzero() > 0
    assert torch.equal(trained.student.prototypes, nets["bank"].prototypes) and set(trained.figures) == {
        "prototype_r2", "prototype_perplexity",
    }  # fmt: skip
    alone = replace(config, distilled=False)
    trained = proc_kd.run(alone, data, Session(), proc_kd.networks(alone, data, {}))
    assert not isinstance(trained.student, PrototypeNetwork), "the baseline is the network as it is"


def test_data_of_the_teacher() -> None:
    data, config = toys.toy_split(), Config(**SMALL, teacher_data="digits")
    images = proc_kd.teacher_images(config, data)
    assert images.scale is data.scale and len(images.classes) == 10 and images.images.shape[1:] == (1, 8, 8)
    assert proc_kd.networks(config, data, {})["teacher"].classifier.out_features == 10
    colour = replace(data, train=replace(data.train, images=data.train.images.expand(-1, 3, -1, -1)))
    with pytest.raises(UsageError, match="images of 1 channels, and those of the student have 3"):
        proc_kd.networks(config, colour, {})


def test_bank_temperature() -> None:
    """τ divides the cosine."""
    bank = PrototypeBank(2, 2, 0.25)
    bank.prototypes.data = torch.tensor([[2.0, 0.0], [0.0, -3.0]])
    assert bank(torch.tensor([5.0, 5.0])).tolist() == pytest.approx([4 / 2**0.5, -4 / 2**0.5])
