"""Many queries as one frame, from every kind of input, with probabilities that are fitted once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mulde
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.inference.probability import fit
from mulde.kge.inference.query import score
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.run_folder import save_model
from tests.kge.toys import model as toy_model
from tests.kge.toys import toy_graph

QUERIES = [("e02", "r0", None), ("?", "r1", "e03"), ("e02", None, "e03"), ("e04", "r2", "e05"), ("none", "r0", None)]


@pytest.fixture(scope="module")
def graph() -> TripleSet:
    graph = toy_graph()
    return replace(graph, valid=np.concatenate([graph.train, graph.valid, graph.test]))


@pytest.fixture(scope="module")
def model(graph: TripleSet) -> KGEModel:
    made = toy_model(graph).eval()
    made.set_graph_prior(GraphPrior(torch.linspace(-1, 1, 6, dtype=torch.float64), graph.train))
    return made.mask_self_loops(graph.train[:0])


def test_it_equals_single_queries(model: KGEModel, graph: TripleSet) -> None:
    frame = mulde.predict(model, graph, QUERIES, top=3).to_pandas()
    assert list(frame.columns) == [
        "query", "head", "relation", "tail", "rank", "score", "probability", "known_in", "error",
    ]  # fmt: skip
    singles: list[tuple[str, dict[str, Any]]] = [
        ("tail", {"head": "e02", "relation": "r0"}),
        ("head", {"relation": "r1", "tail": "e03"}),
        ("relation", {"head": "e02", "tail": "e03"}),
    ]
    for number, (part, given) in enumerate(singles):
        rows = frame[frame["query"] == number]
        one = mulde.predict(model, graph, top=3, **given).to_pandas()
        assert rows[part].tolist() == one["identifier"].tolist() and len(rows) == 3
        assert rows["rank"].tolist() == one["rank"].tolist() and rows["error"].isna().all()
        for column in ("score", "probability"):
            assert rows[column].tolist() == pytest.approx(one[column].tolist())
    triple = frame[frame["query"] == 3].iloc[0]
    found = score(model, graph, head="e04", relation="r2", tail="e05")
    assert triple["score"] == pytest.approx(found.score) and 0 < triple["probability"] < 1
    assert frame["error"].tolist()[-1] == 'no entity is called "none"'


def test_every_kind_of_input(model: KGEModel, graph: TripleSet, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    expected = mulde.predict(model, graph, QUERIES, top=2).columns
    frame = pandas.DataFrame(QUERIES, columns=["head", "relation", "tail"]).replace("?", np.nan)
    shuffled = frame.assign(weight=1)[["tail", "weight", "relation", "head"]]
    assert mulde.predict(model, graph, shuffled, top=2).columns == expected
    (tmp_path / "q.csv").write_text(
        "head,relation,tail\n" + "".join(f"{h},{r or ''},{t or ''}\n" for h, r, t in QUERIES)
    )
    assert mulde.predict(model, graph, tmp_path / "q.csv", top=2).columns == expected
    assert mulde.predict(model, graph, frame[["head", "relation"]][:1], top=2).columns["tail"] == expected["tail"][:2]


def test_the_text_names_the_conditions(model: KGEModel, graph: TripleSet) -> None:
    text = repr(mulde.predict(model, graph, QUERIES, top=2))
    title, header = text.splitlines()[:2]
    assert title == "7 answers, 1 query could not be answered"
    assert "score with graph prior  probability, embeddings only" in header
    only = mulde.predict(model, graph, QUERIES[:4], top=2, embeddings_only=True)
    assert "score  probability" in repr(only) and "prior" not in repr(only) and "error" not in repr(only)
    assert "more rows" in repr(mulde.predict(model, graph, [QUERIES[0]] * 11, top=2, probability=False))
    assert "<caption>7 answers" in mulde.predict(model, graph, QUERIES, top=2)._repr_html_()


def test_by_the_embeddings_only(model: KGEModel, graph: TripleSet) -> None:
    """The same scores as those of a model without prior and mask."""
    plain = toy_model(graph).eval()
    for query in (*QUERIES[:4], ("e02", "r0", "e02")):
        ours = mulde.predict(model, graph, [query], top=25, embeddings_only=True).columns
        assert ours == mulde.predict(plain, graph, [query], top=25).columns
    complete = mulde.predict(model, graph, [("e02", "r0", "e02")]).columns
    assert complete["score"] == [None] and complete["probability"][0] > 0  # masked


def test_a_calibration_is_fitted_once(
    model: KGEModel, graph: TripleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[Any] = []

    def counted(*given: Any) -> Any:
        fits.append(given)
        return fit(*given)

    monkeypatch.setattr("mulde.kge.inference.probability.fit", counted)
    again = toy_model(graph, seed=5).eval()
    first = [mulde.predict(again, graph, head="e02", relation="r0")[0].probability for _ in range(2)]
    assert first[0] is not None and first[0] == first[1] and len(fits) == 1
    with torch.no_grad():
        again.entity.add_(0.1)
    assert mulde.predict(again, graph, head="e02", relation="r0")[0].probability != first[0] and len(fits) == 2
    save_model(tmp_path / "run", model, graph, "toy")
    found = [mulde.predict(tmp_path / "run", graph, head="e02", relation="r0")[0].probability for _ in range(2)]
    assert found[0] is not None and found[0] == found[1] and len(fits) == 3
    assert (tmp_path / "run/calibration.json").is_file()


def test_few_validation_triples_give_no_probabilities(tmp_path: Path) -> None:
    graph = toy_graph()
    answers = mulde.predict(toy_model(graph), graph, head="e02", relation="r0")
    assert [answer.probability for answer in answers] == [None] * 10 and "probability" not in repr(answers)
    assert "probability" not in mulde.predict(toy_model(graph), graph, [("e02", "r0", None)]).columns


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "predict needs exactly two of head, relation and tail"),
        ({"queries": [], "head": "e02"}, "predict takes two of head, relation and tail, or queries; got both"),
        ({"queries": 5}, "queries should be a list, a DataFrame or a path; got int"),
        ({"queries": ["e02"]}, r"queries\[0\]: expected \(head, relation, tail\) with None for one of them; got 'e02'"),
        ({"queries": [("e02", "r0")]}, r"queries\[0\]: expected \(head, relation, tail\)"),
    ],
)
def test_refusals(given: dict[str, Any], message: str, model: KGEModel, graph: TripleSet) -> None:
    with pytest.raises(UsageError, match=message):
        mulde.predict(model, graph, **given)
