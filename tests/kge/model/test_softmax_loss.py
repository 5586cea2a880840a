"""Cross entropy over all entities in one pass, against log_softmax and autograd over every score."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mulde.errors import UsageError
from mulde.geometry.spaces import Bilinear, Euclidean, Lorentz, PoincareBall, Space
from mulde.kge.model import softmax_loss
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.model.softmax_loss import Labels, full_cross_entropy
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH

ENTITIES, RELATIONS, QUERIES = 13, 2, 7
HEADS, LINKS = torch.arange(QUERIES), torch.arange(QUERIES) % (2 * RELATIONS)
LEFT_OUT = torch.tensor([0, 0, 2, 3, 6, 6]), torch.tensor([1, 5, 0, 2, 11, 12])
CAP = 0.985  # about half of the pairs are beyond

MODELS: dict[str, tuple[type[Scorer], dict[str, Any]]] = {
    "global curvature": (RotH, {"curvature": "global"}),
    "fixed curvature": (RotH, {"curvature": "fixed"}),
    "capped": (RotH, {"curvature": "global", "artanh_limit": CAP}),
    "Lorentzian": (RotH, {"curvature": "global", "distance": "lorentz"}),
    "manifold": (RotH, {"curvature": "fixed", "parametrization": "manifold"}),
    "without biases": (RotH, {"curvature": "global", "bias": "none"}),
    "one bias": (RotH, {"curvature": "global", "bias": "shared"}),
    "flat": (RotE, {}),
    "flat without biases": (RotE, {"bias": "none"}),
    "bilinear": (ComplEx, {}),
    "bilinear without biases": (ComplEx, {"bias": "none"}),
}


def built(name: str, **changes: Any) -> KGEModel:
    scorer, settings = MODELS[name]
    config = ModelConfig(**{"dim": 4, "dtype": "float64", "init_scale": 0.4, **settings, **changes})
    model = KGEModel(scorer, ENTITIES, RELATIONS, config)
    generator = torch.Generator().manual_seed(1)
    if config.bias != "none":
        with torch.no_grad():
            for bias in (model.head_bias, model.tail_bias):
                bias.normal_(generator=generator)
    return model


def labels(dtype: torch.dtype = torch.float64) -> list[Labels]:
    """Two sets: the first has no labels for the queries 1 and 6; the second leaves some entities out."""
    weights = torch.rand(9, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
    first = Labels(torch.tensor([0, 0, 2, 3, 3, 3, 4, 5]), torch.tensor([1, 5, 0, 2, 3, 12, 7, 7]), weights[:8])
    second = Labels(
        torch.tensor([0, 1, 1, 3, 3, 4, 5, 6, 6]), torch.tensor([2, 2, 3, 4, 5, 6, 12, 0, 1]), weights, others=True
    )
    return [first, second]


def restated(model: KGEModel, sets: list[Labels]) -> Tensor:
    """The definition, on the matrix of all scores."""
    scores = model.score(HEADS, LINKS, torch.arange(ENTITIES).expand(QUERIES, -1))
    losses = []
    for each in sets:
        competing = torch.ones(QUERIES, ENTITIES, dtype=torch.bool)
        if each.others:
            competing[LEFT_OUT] = False
        total = torch.where(competing, scores, -torch.inf).logsumexp(1)
        losses.append((each.weights * (total[each.rows] - scores[each.rows, each.ids])).sum())
    return torch.stack(losses)


def one_pass(model: KGEModel, sets: list[Labels], **options: Any) -> tuple[Tensor, Tensor]:
    return full_cross_entropy(model.query(HEADS, LINKS), model.tails(), *sets, **{"left_out": LEFT_OUT, **options})


def gradients(model: KGEModel, loss: Tensor) -> dict[str, Tensor]:
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(wanted.items(), found, strict=True)
    }


@pytest.mark.parametrize("block", [1, 3 * ENTITIES, 1 << 19], ids=["lowest", "three rows", "one block"])
@pytest.mark.parametrize("name", MODELS)
def test_value_and_gradients_are_those_of_all_scores(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softmax_loss, "BLOCK", block)
    monkeypatch.setattr(softmax_loss, "MIN_ROWS", 1)
    model = built(name)
    for sets in (labels(), labels()[:1], labels()[1:]):
        expected, (total, found) = restated(model, sets), one_pass(model, sets)
        assert_close(found, expected, rtol=1e-9, atol=1e-9)
        assert not found.requires_grad
        assert_close(total, expected.sum(), rtol=1e-9, atol=1e-9)
        assert_close(gradients(model, total), gradients(model, 1.0 * expected.sum()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["capped", "bilinear"])
def test_blocks_are_as_high_as_there_are_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softmax_loss, "BLOCK", ENTITIES)
    monkeypatch.setattr(softmax_loss, "MIN_ROWS", 1)
    model, before = built(name, dim=2), torch.get_num_threads()
    heights: list[int] = []
    original = softmax_loss._softmax_losses
    monkeypatch.setattr(
        softmax_loss, "_softmax_losses", lambda *given: (heights.append(len(given[0])), original(*given))[1]
    )
    try:
        torch.set_num_threads(1)
        separate, losses = one_pass(model, labels())
        torch.set_num_threads(3)
        together, found = one_pass(model, labels())
    finally:
        torch.set_num_threads(before)
    assert heights[-3:] == [3, 3, 1] and max(heights[:-3]) < 3
    assert_close(found, losses)
    assert_close(gradients(model, together), gradients(model, separate))


def test_pairs_are_on_both_sides_of_the_cap() -> None:
    everyone = torch.arange(ENTITIES).expand(QUERIES, -1)
    capped = built("capped", bias="none").score(HEADS, LINKS, everyone)
    free = built("capped", bias="none", artanh_limit=None).score(HEADS, LINKS, everyone)
    assert 0.2 < (capped > free + 1e-6).double().mean() < 0.8


def test_the_gradient_of_a_weighted_sum_is_weighted() -> None:
    model = built("global curvature")
    once, thrice = (gradients(model, factor * one_pass(model, labels())[0]) for factor in (1, 3))
    assert_close(thrice, {name: 3 * gradient for name, gradient in once.items()})


def test_a_curvature_for_each_query_is_reone_pass() -> None:
    with pytest.raises(UsageError) as complaint:
        one_pass(built("global curvature", curvature="per-relation"), labels())
    assert str(complaint.value) == (
        "the cross entropy over all entities needs one curvature for all queries; got one per query; give the model "
        'curvature="global" or "fixed"'
    )


@pytest.mark.parametrize("height", [-300.0, 300.0])
def test_scores_left_out_may_be_far_above_the_others(height: float) -> None:
    """Or far below them; the exponential of either difference overflows float32."""
    exact, rounded = built("flat"), built("flat", dtype="float32")
    with torch.no_grad():
        exact.tail_bias[4] += height
    rounded.load_state_dict({key: value.float() for key, value in exact.state_dict().items()})
    pairs = torch.arange(QUERIES), torch.full((QUERIES,), 4)
    everyone = [Labels(*pairs, torch.ones(QUERIES)), Labels(pairs[0], pairs[0] + 5, torch.ones(QUERIES), others=True)]
    scores = exact.score(HEADS, LINKS, torch.arange(ENTITIES).expand(QUERIES, -1))
    hard = (scores.logsumexp(1) - scores[:, 4]).sum()
    others = scores.index_fill(1, torch.tensor([4]), -torch.inf).logsumexp(1)
    soft = (others - scores[pairs[0], pairs[0] + 5]).sum()
    total, found = one_pass(rounded, everyone, left_out=pairs)
    assert_close(found.double(), torch.stack([hard, soft]).detach(), rtol=1e-4, atol=1e-4)
    theirs, ours = gradients(exact, hard + soft), gradients(rounded, total)
    for key, gradient in theirs.items():
        assert (ours[key] - gradient).abs().max() <= 1e-4 * max(1, gradient.abs().max()), key


def test_large_scores_cost_no_digits_of_the_gradient() -> None:
    """The gradients of a query's scores sum to 0, though such a float32 has one digit after the point."""
    model = built("flat", dtype="float32")
    with torch.no_grad():
        model.tail_bias += 1e6
    total, _ = one_pass(model, labels(torch.float32))
    (by_bias,) = torch.autograd.grad(total, model.tail_bias)
    assert by_bias.abs().max() > 0.1
    assert by_bias.sum().abs() < 1e-5


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_query_that_leaves_out_all_entities(weight: float) -> None:
    """Costs nothing without weight and is not finite otherwise; the other labels are not affected."""
    model, (first, _) = built("flat"), labels()
    everybody = torch.zeros(ENTITIES, dtype=torch.int64), torch.arange(ENTITIES)
    empty = Labels(torch.tensor([0]), torch.tensor([3]), torch.tensor([weight], dtype=torch.float64), others=True)
    total, losses = one_pass(model, [first, empty], left_out=everybody)
    separate, expected = one_pass(model, [first])
    assert_close(losses[0], expected[0])
    if weight:
        assert not total.isfinite()
    else:
        assert losses[1] == 0
        assert_close(gradients(model, total), gradients(model, separate))


@pytest.mark.parametrize("name", ["global curvature", "flat", "bilinear"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 3e-2)])
def test_lower_precision(name: str, precision: str, tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against float64; 8 bits of a bfloat16 product's factors leave a few percent of the largest gradient.

    Points stay off the boundary, where float32 keeps another margin than float64.
    """
    monkeypatch.setattr(softmax_loss, "_has_matrix_units", lambda: True)
    exact, rounded = built(name, init_scale=0.15), built(name, init_scale=0.15, dtype="float32")
    rounded.load_state_dict({key: value.float() for key, value in exact.state_dict().items()})
    expected, (total, found) = (
        restated(exact, labels()),
        one_pass(rounded, labels(torch.float32), matmul_precision=precision),
    )
    assert_close(found.double(), expected.detach(), rtol=tolerance, atol=tolerance)
    theirs, ours = gradients(exact, 1.0 * expected.sum()), gradients(rounded, total)
    for key, gradient in theirs.items():
        assert (ours[key] - gradient).abs().max() <= tolerance * max(1, gradient.abs().max()), key


@pytest.mark.parametrize(
    ("precision", "units", "inside"),
    [("float32", True, "highest"), ("bfloat16", True, "medium"), ("bfloat16", False, "highest")],
)
def test_torchs_precision_is_restored(
    precision: str, units: bool, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": units}, raising=False)

    def broken(*_: Any) -> None:
        seen.append(torch.get_float32_matmul_precision())
        raise RuntimeError("broken")

    torch.set_float32_matmul_precision("high")
    try:
        one_pass(built("flat"), labels(), matmul_precision=precision)
        assert torch.get_float32_matmul_precision() == "high"
        monkeypatch.setattr(softmax_loss, "_softmax_losses", broken)
        with pytest.raises(RuntimeError, match="broken"):
            one_pass(built("flat"), labels(), matmul_precision=precision)
        assert (seen, torch.get_float32_matmul_precision()) == ([inside], "high")
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(
    "space", [PoincareBall(), PoincareBall(CAP), Lorentz(), Lorentz(CAP), Euclidean(), Bilinear()], ids=repr
)
def test_slope_is_the_derivative_of_the_similarity(space: Space) -> None:
    z = torch.tensor([-1e-12, 0.0, 1e-12, 1e-3, 0.2, 0.4, 0.9, 7.0, 1e4], dtype=torch.float64, requires_grad=True)
    curvature = torch.tensor(1.3, dtype=torch.float64)
    similarity = space.similarity(z, curvature)
    (expected,) = torch.autograd.grad(similarity.sum(), z)
    found, slope = space.similarity_slope_(z.detach().clone(), curvature)
    assert_close(found, similarity.detach(), rtol=1e-12, atol=1e-15)
    assert_close(slope * torch.ones_like(expected), expected, rtol=1e-12, atol=0)
