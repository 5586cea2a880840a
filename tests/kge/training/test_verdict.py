"""The verdict of a run, from made-up ranks."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kge_data
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.split_ranks import SplitRanks
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.roth import RotH
from mulde.kge.training.example import answers, example
from mulde.kge.training.verdict import Candidate, Verdict, decide

OF_SIZE = {"teacher roth": ("teachers/roth", 64, 4000), "baseline": ("baseline", 8, 500), "Junior": ("junior", 8, 500)}


@pytest.fixture(scope="module")
def nations() -> TripleSet:
    return kge_data.load("nations")


def ranks(values: np.ndarray) -> SplitRanks:
    return SplitRanks(values.astype(np.float32), values.astype(np.float32))


def verdict(
    graph: TripleSet,
    valid: dict[str, float],
    found: dict[str, SplitRanks],
    out: Path | None = None,
    source: str = "nations",
    untrained: tuple[str, ...] = (),
) -> Verdict:
    candidates = [
        Candidate(name, *OF_SIZE[name], mrr, float(found[name].reciprocal.mean()), 0 if name in untrained else 5)
        for name, mrr in valid.items()
    ]
    return decide(graph, source, Path("runs/a b"), out, candidates, found)


def drawn(graph: TripleSet, seed: int, high: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, high, 2 * len(graph.test)).astype(float)


def test_distillation_that_helps(nations: TripleSet) -> None:
    better, worse = drawn(nations, 0), drawn(nations, 0) + 2
    valid = {"teacher roth": 0.5, "baseline": 0.4, "Junior": 0.495}
    found = verdict(nations, valid, {"teacher roth": ranks(better), "baseline": ranks(worse), "Junior": ranks(better)})
    assert (found.best.model, found.recommended.model, found.try_dim) == ("teacher roth", "Junior", None)
    assert found.gain is not None
    low, high = found.gain.interval_95
    assert 0 < low < found.gain.test_mrr < high
    assert found.gain.test_mrr == pytest.approx((1 / better - 1 / worse).mean(), abs=1e-6)
    assert "Distillation helped: +0." in str(found) and "Try" not in str(found)


def test_the_interval_is_paired(nations: TripleSet) -> None:
    """A constant difference has an interval of no width, however much the ranks differ among triples."""
    base = ranks(1 / (0.5 / drawn(nations, 1)))
    shifted = SplitRanks(base.answers, (1 / (1 / base.embeddings_only + 0.1)).astype(np.float32))
    valid = {"baseline": 0.4, "Junior": 0.5}
    gain = verdict(nations, valid, {"baseline": base, "Junior": shifted}).gain
    assert gain is not None
    assert gain.interval_95 == pytest.approx((0.1, 0.1), abs=1e-5)


@pytest.mark.parametrize(("junior", "said"), [(1, "did not help measurably"), (0, "made the model worse")])
def test_distillation_that_does_not_help(nations: TripleSet, junior: int, said: str) -> None:
    base = drawn(nations, 2)
    other = drawn(nations, 3) if junior else base + 2
    text = str(verdict(nations, {"baseline": 0.4, "Junior": 0.4}, {"baseline": ranks(base), "Junior": ranks(other)}))
    assert said in text and ("The baseline is as good." in text) == bool(junior)


def test_a_budget_that_trains_nothing(nations: TripleSet) -> None:
    valid = {"teacher roth": 0.5, "baseline": 0.01, "Junior": 0.4}
    found = {name: ranks(drawn(nations, seed)) for seed, name in enumerate(valid)}
    text = str(verdict(nations, valid, found, untrained=("baseline",)))
    assert "the budget was too short: baseline. Raise --budget." in text and "Distillation" not in text


@pytest.mark.parametrize(("dim", "teacher", "tried"), [(8, 64, 16), (10, 64, 16), (48, 50, 50), (64, 64, None)])
def test_the_dimension_to_try(
    nations: TripleSet, monkeypatch: pytest.MonkeyPatch, dim: int, teacher: int, tried: int | None
) -> None:
    monkeypatch.setitem(OF_SIZE, "teacher roth", ("../teachers/roth", teacher, 4000))
    monkeypatch.setitem(OF_SIZE, "Junior", ("junior", dim, 500))
    both = dict.fromkeys(("teacher roth", "Junior"), ranks(drawn(nations, 4)))
    found = verdict(nations, {"teacher roth": 0.5, "Junior": 0.4}, both)
    assert (found.recommended.model, found.small.model, found.try_dim) == ("teacher roth", "Junior", tried)
    assert "The teachers are far ahead: Junior is 20 % behind teacher roth on valid." in str(found)
    assert found.gain is None
    assert shlex.split(found.commands["predict"])[2] == "runs/teachers/roth"
    if tried is not None:
        assert found.commands["try"] == f"mulde run --config 'runs/a b/settings.yaml' --dim {tried}"
        with_out = verdict(nations, {"teacher roth": 0.5, "Junior": 0.4}, both, Path("mine"))
        assert with_out.commands["try"].endswith(f" --out mine-{tried}")
        in_memory = verdict(nations, {"teacher roth": 0.5, "Junior": 0.4}, both, source="")
        assert in_memory.commands["try"].startswith(f"mulde.run(graph, dim={tried}, ...)")


def test_names_that_look_like_options_are_quoted(nations: TripleSet) -> None:
    names = tuple(f"-{name} $(x)'" for name in nations.entities)
    odd = replace(nations, entities=names)
    found = verdict(odd, {"Junior": 0.4}, {"Junior": ranks(drawn(odd, 5))})
    assert shlex.split(found.commands["predict"])[3] == f"--head={found.query[0]}"


def test_the_example_is_answered_and_not_in_train(nations: TripleSet) -> None:
    seen = np.concatenate([nations.train, nations.test[::2]])
    graph = replace(nations, train=seen)
    values = np.full(2 * len(graph.test), 7.0)
    values[::2] = 1  # answered, but in train
    values[[5, 11, 31]] = 1
    places = {tuple(graph.test[i]) for i in (5, 11, 31)}
    chosen = {example(graph, ranks(values), seed) for seed in range(20)}
    assert {(graph.entity_id(h), graph.relation_id(r), graph.entity_id(t)) for h, r, t in chosen} == places
    values[[5, 11, 31]] = [3, 2, 4]
    assert example(graph, ranks(values))[0] == graph.entities[graph.test[11][0]]


def test_the_example_leaves_out_the_masked_entity(nations: TripleSet) -> None:
    model = KGEModel(RotH, nations.num_entities, nations.num_relations, ModelConfig(dim=4)).mask_self_loops(
        nations.train
    )
    triple = next(it for it in nations.test.tolist() if not model.self_loops[2 * it[1]])
    query = nations.entities[triple[0]], nations.relations[triple[1]], nations.entities[triple[2]]
    found = answers(model, nations, query, top=nations.num_entities)
    names = [it.identifier for it in found]
    assert query[2] in names and query[0] not in names
