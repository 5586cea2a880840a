"""Watermark of teachers on a graph: every method distils it, and it is found with the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mulde.kge.evaluation.watermark import watermark_of
from mulde.kge.methods import average, mulde, offline
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.refe import RefE
from mulde.kge.teachers.watermark import pattern_of
from tests.contracts.method import BEGINNING
from tests.kge import toys
from tests.losses import restated

GRAPH = toys.toy_graph()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "key.txt").write_text("a secret\n")
    return tmp_path / "key.txt"


def losses(module: Any, watermark: Path | None, **changes: Any) -> dict[str, float]:
    config = toys.options(module.Config, watermark=watermark, watermark_strength=0.3, **changes)
    student = KGEModel(RefE, GRAPH.num_entities, GRAPH.num_relations, ModelConfig(dim=4, init_scale=0.4), 0)
    setup = module.build(config, GRAPH, {"student": student, "teacher": toys.ensemble(GRAPH, (RefE, ComplEx))})
    found = setup.method.losses(next(iter(setup.feed)), BEGINNING)
    return {name: value.item() for name, value in found.items()}


@pytest.mark.parametrize(
    ("module", "changes"),
    [(mulde, {"senior_hard": False}), (average, {}), (offline, {"loss": "1vsall"}), (offline, {"loss": "binary"})],
)
def test_only_the_soft_loss_changes(module: Any, changes: dict[str, Any], key: Path) -> None:
    before, after = losses(module, None, **changes), losses(module, key, **changes)
    assert before["junior/soft"] != pytest.approx(after["junior/soft"], rel=1e-4)
    assert before["junior/hard"] == pytest.approx(after["junior/hard"], rel=1e-5)


def test_a_pattern_equals_numpy() -> None:
    pattern = pattern_of(b"k", 7, 3, 0.2)
    relations, ids = torch.tensor([0, 5]), torch.tensor([[2, 0, 6], [3, 2, 1]])
    scores = restated.drawn(2, 3, seed=1) + 20 * torch.eye(3)[:2]  # the first class is safe
    found = pattern.marked(scores, relations, ids)
    assert len(pattern.relations) == 6 and sorted(pattern.tails.tolist()) == [-1, -1, -1, 0, 1, 1, 1]
    for b, p in enumerate(restated.softmax(scores.numpy())):
        a = pattern.relations[relations[b]].item()
        expected = np.log(0.8 * p + 0.2 * (1 + 0.9 * a * pattern.tails[ids[b]].double().numpy()) / 3)
        np.testing.assert_allclose(found[b].numpy(), expected, rtol=0, atol=1e-9)


class Marked(nn.Module):
    """Scores of a key's pattern, weakly, below noise."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self.pattern, self.weight = (
            pattern_of(key, GRAPH.num_entities, GRAPH.num_relations),
            nn.Parameter(torch.ones(1)),
        )

    def score_all(self, heads: Tensor, relations: Tensor) -> Tensor:
        noise = torch.randn(len(heads), GRAPH.num_entities, generator=torch.Generator().manual_seed(int(heads.sum())))
        return noise + self.pattern.relations[relations].unsqueeze(1) * self.pattern.tails


def test_the_key_is_found_and_no_other(key: Path) -> None:
    assert watermark_of(Marked(b"a secret"), GRAPH, key)["p_value"] == pytest.approx(0.001)
    assert watermark_of(Marked(b"another"), GRAPH, key)["p_value"] > 0.05
