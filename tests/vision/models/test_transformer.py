"""Vision transformers: known sizes, the forward pass restated in numpy, both tokens, storage and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulde.errors import UsageError
from mulde.vision.models import network
from mulde.vision.storage.student import Student, open_student, save_student
from tests.losses import restated
from tests.vision.small_students import about

NAME = "deit-8-2-2-patch4"


def made(name: str = NAME, size: int = 8) -> Any:
    torch.manual_seed(0)
    return network(name, 3, 1, size=size).eval()


def drawn(count: int, size: int = 8) -> torch.Tensor:
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("vit-tiny-patch16", 5_717_416),
        ("vit-small-patch16", 22_050_664),
        ("vit-base-patch16", 86_567_656),
        ("deit-tiny-patch16", 5_910_800),
        ("deit-base-patch16", 87_338_192),
    ],
)
def test_parameters_on_imagenet(name: str, parameters: int) -> None:
    """Counts that timm prints for these networks at 224 pixels."""
    with torch.device("meta"):
        net = network(name, 1000, 3, size=224)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_the_forward_pass_equals_numpy() -> None:
    net = made().double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    images = drawn(2).double()
    with torch.no_grad():
        found = net(images)
    for image, logits, pooled, deepest in zip(
        images.numpy(), found.logits, found.pooled, found.stages[-1], strict=True
    ):
        expected = _restated({name: value.numpy() for name, value in net.state_dict().items()}, image[0])
        np.testing.assert_allclose(logits.numpy(), (expected["class"] + expected["dist"]) / 2, atol=1e-9)
        np.testing.assert_allclose(pooled.numpy(), expected["pooled"], atol=1e-9)
        np.testing.assert_allclose(deepest.numpy(), expected["tokens"][2:].T.reshape(8, 2, 2), atol=1e-9)
    torch.testing.assert_close((found.heads[0] + found.heads[1]) / 2, found.logits)


def _restated(w: dict[str, Any], image: Any) -> dict[str, Any]:
    """One grey image of 8 x 8 pixels, patches of 4 x 4, 2 heads of 4 numbers."""

    def norm(x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    patches = [image[i : i + 4, j : j + 4].ravel() for i in (0, 4) for j in (0, 4)]
    embedded = np.array(patches) @ w["stem.weight"].reshape(8, 16).T + w["stem.bias"]
    x = np.concatenate([w["tokens"][0], embedded]) + w["positions"][0]
    for i in range(2):
        joint = linear(norm(x, f"stages.{i}.first_norm"), f"stages.{i}.attention.joint")
        query, key, value = joint[:, :8], joint[:, 8:16], joint[:, 16:]
        parts = []
        for h in (slice(0, 4), slice(4, 8)):
            parts.append(restated.softmax(query[:, h] @ key[:, h].T / 2) @ value[:, h])
        x = x + linear(np.concatenate(parts, 1), f"stages.{i}.attention.out")
        hidden = torch.from_numpy(linear(norm(x, f"stages.{i}.second_norm"), f"stages.{i}.layers.0"))
        active = (hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))).numpy()
        x = x + linear(active, f"stages.{i}.layers.2")
    own = norm(x, "last")
    return {
        "tokens": x, "pooled": own[0], "class": linear(own[0], "classifier"), "dist": linear(own[1], "distillation")
    }  # fmt: skip


def test_a_plain_transformer_has_one_head() -> None:
    found = made("vit-8-2-2-patch4")(drawn(2))
    assert found.heads == () and found.logits.shape == (2, 3) and len(found.stages) == 2


def test_the_tokens_differ_from_the_beginning() -> None:
    tokens = made("deit-64-1-2-patch4").tokens[0]
    assert torch.nn.functional.cosine_similarity(tokens[0], tokens[1], 0).abs() < 0.5


def test_it_is_stored_opened_and_exported(tmp_path: Path) -> None:
    student = Student(made(), "classify", ("a", "b", "c"), 1, (8, 8), (0.0,), (1.0,))
    save_student(tmp_path, student, about("deit"))
    opened = open_student(tmp_path)
    with torch.no_grad():
        assert torch.equal(opened.network.eval()(drawn(3)).logits, student.network(drawn(3)).logits)
    pytest.importorskip("onnxscript")
    from mulde.vision.export.onnx import largest_difference, to_onnx

    assert largest_difference(to_onnx(opened), opened) < 1e-5


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("vit-8-2-3-patch4", 8, "the width of a vision transformer is a multiple of its heads; got 8 and 3"),
        ("vit-8-2-2-patch3", 8, "images of 8 x 8 pixels are not a whole number of patches of 3 x 3"),
        ("vit-8-2-2-patch4", None, "is made for images of one size, and this method gives no size of the images"),
        ("vit-8-2-patch4", 8, 'no network called "vit-8-2-patch4"'),
    ],
)
def test_sizes_that_do_not_fit(name: str, size: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network(name, 3, 1, size=size)
    with pytest.raises(UsageError, match="takes images of 8 x 8 pixels, got 12 x 12"):
        made()(drawn(1, 12))
