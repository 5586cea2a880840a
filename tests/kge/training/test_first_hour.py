"""What people try first in Python: every mistake is a sentence of ours, and every spelling works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch

import kge_data
import mulde
from kge_data.errors import UsageError
from mulde.kge.evaluation import link_prediction
from mulde.kge.inference import query
from mulde.kge.methods.offline import Config as OfflineConfig
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.options import Training
from mulde.kge.storage.run_folder import find_scorer
from mulde.kge.training import run as job
from mulde.kge.training import stage
from mulde.kge.training.presets import defaults

TINY: dict[str, Any] = {"dim": 4, "epochs": 1, "eval_every": 1, "negatives": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a small model of nations."""
    place = tmp_path_factory.mktemp("runs") / "diste"
    mulde.train("diste", "nations", folder=place, **TINY)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> mulde.KGEModel:
    return mulde.load(folder)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ({"head": 5, "relation": "embassy"}, "expected a string as entity, got 5;"),
        ({"head": "uk", "relation": 0}, "expected a string as relation, got 0;"),
        ({"head": "uk", "relation": "embassy", "top": -1}, "should be a whole number of at least 1, got -1"),
        ({"head": "uk", "relation": "embassy", "top": 0}, "should be a whole number of at least 1, got 0"),
        ({"head": "uk", "relation": "embassy", "top": True}, "should be a whole number of at least 1, got True"),
        ({"head": "uk", "relation": "embassy", "top": 2.5}, "should be a whole number of at least 1, got 2.5"),
        ({"head": "uk", "tail": "usa", "top": "3"}, "should be a whole number of at least 1, got '3'"),
        (
            {"head": "uk", "relation": "embassy", "threads": 0},
            "`threads` should be a whole number of at least 1",
        ),
    ],
)
def test_questions_that_are_refused(question: dict[str, Any], sentence: str, model: mulde.KGEModel) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        mulde.predict(model, "nations", **question)


def test_a_missing_split_is_told_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "train", lambda *_, **__: pytest.fail("trained"))
    for parts, split in (((), "valid"), (([("a", "r", "b")],), "test")):
        whole = kge_data.from_triples([("a", "r", "b"), ("b", "r", "a")], *parts[:1] or ([],), [], name="mine")
        with pytest.raises(UsageError, match=f"mine has no {split} triples, which training needs"):
            mulde.run(whole) if split == "test" else mulde.train("roth", whole)
    empty = kge_data.load("nations")
    empty = kge_data.TripleSet("none", empty.train[:0], empty.valid, empty.test, empty.entities, empty.relations)
    with pytest.raises(UsageError, match="none has no train triples"):
        mulde.train("roth", empty)


def test_models_by_path_as_objects(folder: Path, model: mulde.KGEModel) -> None:
    expected = mulde.evaluate(model, "nations").metrics()
    for place in (folder, str(folder)):
        assert mulde.evaluate(place, "Nations").metrics() == expected
        assert mulde.evaluate(place).metrics() == pytest.approx(expected)
        found, own = mulde.discover(model, "nations", top=2), mulde.discover(place, top=2)
        assert [(fact.head, fact.relation, fact.tail) for fact in own] == [
            (fact.head, fact.relation, fact.tail) for fact in found
        ]
        assert (
            mulde.predict(place, "nations", head="uk", relation="embassy")[0]
            == (mulde.predict(model, "nations", head="uk", relation="embassy")[0])
        )


def test_a_teacher_given_twice_is_refused(folder: Path, model: mulde.KGEModel) -> None:
    pairs: list[list[Any]] = [[folder, folder], [folder, str(folder)], [model, model]]
    for teachers in pairs:
        with pytest.raises(UsageError, match="is given twice as a teacher, and would count twice"):
            mulde.distil("diste", teachers, "nations", **TINY)


def test_any_capitalisation(folder: Path) -> None:
    spelled: dict[str, Any] = {"preset": "Recommended", "optimizer": "Adam", "curvature": "Per_Relation", **TINY}
    junior = mulde.distil("DISTE", folder, "NATIONS", method="Average", **spelled)
    again = mulde.distil("DistE", str(folder), "nations", method="average", preset="recommended", **TINY)
    assert torch.equal(junior.entity, again.entity)
    assert defaults({"preset": "PAPER", "data": "WN18rr"}, frozenset({"soft_weight"})) == {"soft_weight": 0.01}
    for data in ("FB15K237", "fb15k-237", "FB15k_237", "data/FB15k-237", "data/FB15k-237.tsv.gz"):
        assert defaults({"data": data}, frozenset({"lr"})) == {"lr": 2e-3}, data


def test_spellings_of_a_pretrained_model() -> None:
    assert torch.equal(mulde.load("UMLS_8").entity, mulde.load("umls-8").entity)


def test_the_method_is_that_of_the_preset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    def stopped(*args: Any, **_: Any) -> None:
        found.append(args[3])
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "distil", stopped)
    with pytest.raises(KeyboardInterrupt):
        mulde.distil("diste", folder, "nations", preset="best", dim=4)
    assert isinstance(found[0], OfflineConfig)


@pytest.mark.parametrize(("entities", "given", "used"), [(9_999, None, 1), (10_000, None, 3), (10_000, 2, 2)])
def test_threads(entities: int, given: int | None, used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small graph takes one thread; the number from before comes back, also after an error."""
    names = tuple(f"{number:05}" for number in range(entities))
    rows = np.array([[0, 0, 1]])
    graph = kge_data.TripleSet("many", rows, rows, rows, names, ("r",))
    model = KGEModel(find_scorer("roth"), entities, 1, ModelConfig(dim=2))
    seen: list[int] = []

    def failing(*_: Any, **__: Any) -> None:
        seen.append(torch.get_num_threads())
        raise ZeroDivisionError

    functions = ((stage, "train"), (stage, "distil"), (job, "run"), (link_prediction, "evaluate"), (query, "predict"))
    for module, function in functions:
        monkeypatch.setattr(module, function, failing)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    calls = [
        lambda: mulde.train("roth", graph, threads=given),
        lambda: mulde.distil("roth", torch.nn.Linear(1, 1), graph, threads=given),
        lambda: mulde.run(graph, threads=given),
        lambda: mulde.evaluate(torch.nn.Linear(1, 1), graph, threads=given),  # type: ignore[arg-type]
        lambda: mulde.predict(model, graph, head="00000", relation="r", probability=False, threads=given),
    ]
    try:
        for call in calls:
            with pytest.raises(ZeroDivisionError):
                call()
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [used] * 5


def test_the_default_device() -> None:
    assert Training().device == "auto"


@pytest.mark.parametrize("form", ["frame", "array", "list"])
def test_triples_in_memory_are_a_graph(form: str) -> None:
    rows = [(f"{i % 20}", "knows", f"{(7 * i + 1) % 20}") for i in range(60)]
    rows += [(f"{i}", "likes", f"{(i + 2) % 20}") for i in range(20)]
    data: Any = rows
    if form == "array":
        data = np.array(rows)
    if form == "frame":
        data = pandas.DataFrame([(i, *row) for i, row in enumerate(rows)], columns=["id", "source", "type", "target"])
    model = mulde.train("diste", data, **TINY)
    assert (model.num_entities, model.num_relations) == (20, 2)
    assert mulde.evaluate(model, data).metrics()["mrr"] > 0
