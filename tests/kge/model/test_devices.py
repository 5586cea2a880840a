"""Every path on every device and in every precision, beside the CPU in float64: scores, losses, gradients, ranks.

The CUDA half is skipped without a CUDA device.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mulde.engine import Clock
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.feeds import AnswerFeed, QueryFeed
from mulde.kge.losses import hard_loss, one_vs_all_loss
from mulde.kge.methods import mulde as mulde_file
from mulde.kge.methods import offline as offline_file
from mulde.kge.methods.mulde import MulDE
from mulde.kge.methods.offline import Offline
from mulde.kge.model import softmax_loss
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.atth import AttH
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.roth import RotH
from mulde.kge.teachers.cached_predictions import cached_predictions
from mulde.kge.teachers.ensemble import Ensemble
from tests.kge import toys

GRAPH = toys.toy_graph()
PAIRS = next(iter(QueryFeed(GRAPH, 12, 4, "both")))
QUERIES = next(iter(QueryFeed(GRAPH, 12, 4, "tail")))
ANSWERS = next(iter(AnswerFeed(GRAPH, 12)))
START = Clock(step=1, epoch=0, epochs=1, progress=0.0)
CLOSE: dict[torch.dtype, dict[str, Any]] = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
    torch.float32: {"rtol": 2e-4, "atol": 2e-4},
}

NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NO_CUDA)])
precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def model(scorer: type[Scorer] = RotH, seed: int = 0, **options: Any) -> KGEModel:
    """In float64 on the CPU, its points off the boundary, where float32 keeps another margin."""
    config = ModelConfig(**{"dim": 4, "dtype": "float64", "init_scale": 0.2, "curvature": "global", **options})
    return KGEModel(scorer, GRAPH.num_entities, GRAPH.num_relations, config, seed).mask_self_loops(GRAPH.train)


MODELS = {
    "RotH": model(),
    "RotH, a curvature per relation": model(curvature="per-relation"),
    "AttH": model(AttH),
    "RotH, Lorentzian distance": model(distance="lorentz"),
    "ComplEx": model(ComplEx),
}
ENSEMBLE = Ensemble([model(seed=1), model(ComplEx, seed=2)])


def mulde(junior: KGEModel, batch: Any) -> Tensor:
    """All terms of MulDE, the ensemble on the Junior's device and in its precision."""
    ensemble = copy.deepcopy(ENSEMBLE).to(junior.entity)
    config = toys.options(mulde_file.Config, top_k=5, include_target=True, attention_gradient=True)
    method = MulDE(junior, ensemble, config).to(junior.entity.device)
    return torch.stack([term.to(junior.entity.dtype) for term in method.losses(batch, START).values()]).sum()


PREDICTIONS = cached_predictions(ENSEMBLE, GRAPH, 5, None, progress=False)


def offline(junior: KGEModel, batch: Any) -> Tensor:
    """Hard and soft labels over all entities, and the regulariser."""
    terms = Offline(junior, PREDICTIONS, toys.options(offline_file.Config, soft_weight=2.0, n3=0.01)).losses(
        batch, START
    )
    return torch.stack(list(terms.values())).sum()


LOSSES: dict[str, tuple[Callable[[KGEModel, Any], Tensor], Any]] = {
    "binary": (hard_loss, QUERIES),
    "cross entropy, head and tail corrupted": (lambda junior, batch: hard_loss(junior, batch, "cross-entropy"), PAIRS),
    "1vsall": (one_vs_all_loss, ANSWERS),
    "offline": (offline, ANSWERS),
    "MulDE": (mulde, QUERIES),
}
COMBINATIONS = [
    (name, loss) for name in MODELS for loss in LOSSES if "per" not in name or LOSSES[loss][1] is not ANSWERS
]


def moved(name: str, device: str, dtype: torch.dtype) -> KGEModel:
    return copy.deepcopy(MODELS[name]).to(device=device, dtype=dtype)


def gradients(junior: KGEModel, loss: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(junior.parameters()), allow_unused=True, materialize_grads=True)
    return [gradient.cpu().double() for gradient in found]


@devices
@precisions
@pytest.mark.parametrize("name", MODELS)
def test_scores(name: str, device: str, dtype: torch.dtype) -> None:
    exact, found = MODELS[name], moved(name, device, dtype)
    there = QUERIES.to(device)
    chosen = found.score(there.heads, there.relations, there.negatives)
    assert (chosen.device.type, chosen.dtype) == (device, dtype)
    assert_close(
        chosen.cpu().double(), exact.score(QUERIES.heads, QUERIES.relations, QUERIES.negatives), **CLOSE[dtype]
    )
    every = exact.score_all(QUERIES.heads, QUERIES.relations)
    assert_close(found.score_all(there.heads, there.relations).cpu().double(), every, **CLOSE[dtype])
    best = found.top(there.heads, there.relations, 5).cpu()
    assert_close(every.gather(1, best).sort(1).values, every.topk(5).values.flip(1), **CLOSE[dtype])


@devices
@precisions
@pytest.mark.parametrize(("name", "loss"), COMBINATIONS)
def test_losses_and_gradients(name: str, loss: str, device: str, dtype: torch.dtype) -> None:
    (of, batch), exact, found = LOSSES[loss], MODELS[name], moved(name, device, dtype)
    expected, value = of(exact, batch), of(found, batch.to(device))
    assert (value.device.type, value.dtype) == (device, dtype)
    assert_close(value.detach().cpu().double(), expected.detach(), **CLOSE[dtype])
    for ours, theirs in zip(gradients(found, value), gradients(exact, expected), strict=True):
        assert_close(ours, theirs, **CLOSE[dtype])


@devices
@pytest.mark.parametrize("name", ["RotH", "ComplEx"])
def test_bfloat16_products(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the few percent that 8 bits of a factor leave; with CUDA and on processors with matrix units only."""
    monkeypatch.setattr(softmax_loss, "_has_matrix_units", lambda: True)
    exact, found = MODELS[name], moved(name, device, torch.float32)
    expected, value = one_vs_all_loss(exact, ANSWERS), one_vs_all_loss(found, ANSWERS.to(device), "bfloat16")
    assert_close(value.detach().cpu().double(), expected.detach(), rtol=3e-2, atol=3e-2)
    for ours, theirs in zip(gradients(found, value), gradients(exact, expected), strict=True):
        assert (ours - theirs).abs().max() <= 3e-2 * max(1.0, theirs.abs().max().item())


@devices
@precisions
@pytest.mark.parametrize("name", MODELS)
def test_ranks(name: str, device: str, dtype: torch.dtype) -> None:
    expected = evaluate(MODELS[name], GRAPH, "test").metrics()
    found = evaluate(moved(name, device, dtype), GRAPH, "test").metrics()
    assert found["mrr"] == pytest.approx(expected["mrr"], abs=1e-4)
