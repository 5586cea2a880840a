"""TinyMIM: relations inside the attention, their pairing, and the masked images of the teacher's pre-training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mulde.engine import OptimizerSpec, Trainer
from mulde.errors import UsageError
from mulde.vision.methods import tinymim
from mulde.vision.methods.tinymim import Config, MaskedImages, TinyMIM, paired
from mulde.vision.models import network
from mulde.vision.training.options import Training
from mulde.vision.training.session import Session, train_on_labels
from tests.vision import toys

ONE = Training(1, 12, "none")


def made(student: str = "vit-6-1-2-patch4", teacher: str = "vit-8-1-2-patch4", **changes: Any) -> tuple[TinyMIM, Any]:
    config = Config(student=student, teacher=teacher, **{"training": ONE, **changes})
    return toys.built(tinymim, config, toys.toy_split())


def softmax(x: NDArray[Any]) -> NDArray[Any]:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def heads_of(net: Any, images: torch.Tensor) -> list[NDArray[Any]]:
    """Queries, keys and values of the first block, written out."""
    with torch.no_grad():
        x = net.stem(images).flatten(2).transpose(1, 2)
        x = (torch.cat([net.tokens.expand(len(x), -1, -1), x], 1) + net.positions).numpy()
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    layer = net.stages[0].attention.joint
    joint = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    width = joint.shape[-1] // 3
    each = [joint[..., i * width : (i + 1) * width] for i in range(3)]
    return [part.reshape(*part.shape[:2], 2, width // 2).transpose(0, 2, 1, 3) for part in each]


def test_losses_are_those_of_the_equations() -> None:
    method, feed = made()
    method.double()
    batch = next(iter(feed))
    batch = replace(batch, images=batch.images.double())
    assert (batch.labels == -1).all(), "distillation sees no label"
    found = method.losses(batch, toys.BEGINNING)
    (tq, tk, tv), (sq, sk, sv) = (heads_of(net, batch.images) for net in (method.teacher, method.student))

    def distance(a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any]) -> float:
        p = softmax(a @ b.swapaxes(2, 3) / np.sqrt(a.shape[-1]))
        q = softmax(c @ d.swapaxes(2, 3) / np.sqrt(c.shape[-1]))
        assert p.shape[1:] == (2, 5, 5)
        return float((p * np.log(p / q)).sum(-1).mean())

    assert found["student/query_key"].item() == pytest.approx(distance(tq, tk, sq, sk), rel=1e-9)
    assert found["student/values"].item() == pytest.approx(distance(tv, tv, sv, sv), rel=1e-9)
    method.config = replace(method.config, shuffled=True)
    torch.manual_seed(0)
    other = method.losses(batch, toys.BEGINNING)
    torch.manual_seed(0)
    order = torch.randperm(5).numpy()
    assert other["student/query_key"].item() == pytest.approx(distance(tq[:, :, order], tk, sq, sk), rel=1e-9)


def test_layers_are_paired() -> None:
    deep, shallow = (network(f"vit-4-{depth}-2-patch4", 2, 1, size=8) for depth in (8, 2))
    layers: Any = deep.stages
    assert paired(shallow, deep)[1].layer is layers[5].attention.joint, "three quarters of eight blocks"
    assert paired(deep, deep)[1].layer is layers[7].attention.joint
    assert paired(deep, shallow)[0].layer is layers[7].attention.joint, "the last block of the student"
    assert paired(shallow, deep, 3)[1].layer is layers[2].attention.joint
    with pytest.raises(UsageError, match="8 blocks, counted from 1; got 9"):
        paired(shallow, deep, 9)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="student has 3 heads and the teacher 2"):
        made("vit-6-1-3-patch4")
    with pytest.raises(UsageError, match="expected a vision transformer"):
        made("cnn-4-6")
    method, feed = made("vit-6-1-2-patch2")
    with pytest.raises(UsageError, match="17 tokens and the teacher 5"):
        method.losses(next(iter(feed)), toys.BEGINNING)


def test_relations_are_learned() -> None:
    method, feed = made()
    batch = next(iter(feed))
    first = sum(method.losses(batch, toys.BEGINNING).values())
    Trainer(optimizers=OptimizerSpec("adam", 3e-2), progress=False).fit(method, [batch], epochs=40)
    last = sum(method.losses(batch, toys.BEGINNING).values())
    assert last < first / 5


def test_only_masked_patches_are_filled_in() -> None:
    net = network("vit-8-1-2-patch4", 2, 1, size=8)
    method = MaskedImages(net, 1, 0.5)
    images: list[torch.Tensor] = []
    net.register_forward_pre_hook(lambda module, inputs: images.append(inputs[0]))
    batch = toys.batch()
    batch = replace(batch, images=batch.images[:, :1] + 9)  # no pixel is 0
    torch.nn.init.zeros_(method.decoder.weight)
    torch.nn.init.zeros_(method.decoder.get_parameter("bias"))
    loss = method.losses(batch, toys.BEGINNING)["network/pixels"]
    hidden = images[0] == 0
    assert torch.equal(hidden.float().mean((1, 2, 3)), torch.full((12,), 0.5)), "two patches of four in every image"
    assert loss.item() == pytest.approx(batch.images[hidden].square().mean().item(), rel=1e-5)


def test_stages(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pre-training and relations without labels, then fine-tuning on those labels that are there."""
    config = Config(
        student="vit-6-1-2-patch4", teacher="vit-8-1-2-patch4", shots=3, training=ONE, pretraining=ONE, finetuning=ONE
    )
    data, labelled = toys.toy_split(), list[int]()

    def counted(student: Any, images: Any, *arguments: Any) -> Any:
        labelled.append(len(images))
        return train_on_labels(student, images, *arguments)

    monkeypatch.setattr(tinymim, "train_on_labels", counted)
    given = {"teacher": network("vit-8-1-2-patch4", data.classes, 1, size=8)}
    for name, changes, roles, expected in (
        ("new", {}, {}, {"pretraining", "relations", "fit"}),
        ("given", {"shots": 2}, given, {"relations", "fit"}),
        ("baseline", {"distilled": False}, {}, {"fit"}),
    ):
        own = replace(config, **changes)
        trained = tinymim.run(own, data, Session(folder=tmp_path / name), tinymim.networks(own, data, roles))
        assert {path.name for path in (tmp_path / name).iterdir() if path.is_dir()} == expected
        assert trained.task == "classify" and trained.record is not None
    assert labelled == [3 * data.classes, 2 * data.classes, 3 * data.classes]
