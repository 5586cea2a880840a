"""The graph of a run folder: it needs no source, and a source or another graph that differs is told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import kge_data
import mulde
from kge_data import TripleSet
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.refh import RefH
from mulde.kge.storage.graph import FILES, compared, graph_of, ignore, names_checksum, seen_in_training
from mulde.kge.storage.run_folder import open_model, save_model
from mulde.kge.teachers.opening import open_teacher

TRAIN = ("a knows b", "b knows c", "c likes a")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(folder: str, train: Sequence[str], test: Sequence[str] = ("a likes b",)) -> TripleSet:
    """A graph in a folder, with the first training triple as valid."""
    Path(folder).mkdir(exist_ok=True)
    for split, triples in (("train", train), ("valid", train[:1]), ("test", test)):
        Path(folder, f"{split}.txt").write_text("".join(triple.replace(" ", "\t") + "\n" for triple in triples))
    return kge_data.load(Path(folder))


@pytest.fixture
def run() -> Path:
    """A run folder of a model with a graph prior, trained on the folder ``kg``."""
    graph = written("kg", TRAIN)
    model = KGEModel(RefH, graph.num_entities, graph.num_relations, ModelConfig(dim=4, init_scale=0.3), seed=1)
    model.set_graph_prior(GraphPrior(torch.ones(2 * graph.num_relations), graph.train))
    save_model(Path("run"), model, graph, "kg")
    return Path("run")


def told(run: Path, data: str | None = None) -> tuple[TripleSet, list[str]]:
    remarks: list[str] = []
    return graph_of(run, data, remarks.append), remarks


def test_a_run_opens_without_its_source_and_from_anywhere(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, remarks = told(run)
    assert remarks == [] and own.checksum == kge_data.load(Path("kg")).checksum and own.name == "kg"
    Path("kg").rename("moved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again, remarks = told(tmp_path / "run")
    assert (again.checksum, again.entities, remarks) == (own.checksum, own.entities, [])
    prior = open_model(tmp_path / "run").graph_prior
    assert prior is not None and prior.index.known.contains([0], [0], [1]).all()


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ((*TRAIN, "a knows c"), "1 triple added"),
        (TRAIN[:2], "1 triple removed"),
        ((*TRAIN, "a knows d", "d hates a"), "2 triples added, 1 new entity, 1 new relation"),
        ((*TRAIN, "a likes b"), "the same triples, in other splits or repeated"),
        (("x knows y", "y knows z", "z knows x"), "hardly any name in common"),
    ],
)
def test_a_source_that_differs_is_told_and_not_used(run: Path, train: Sequence[str], words: str) -> None:
    own = graph_of(run)
    written("kg", train)
    again, remarks = told(run)
    assert (again.checksum, again.entities) == (own.checksum, own.entities)
    assert len(remarks) == 1
    assert remarks[0].startswith(f"kg differs from the graph of the training: {words}; the graph of the training is")
    with pytest.warns(UserWarning, match="kg differs from the graph of the training"):
        graph_of(run)
    Path("kg/train.txt").write_text("not a triple\n")
    assert told(run)[1] == []  # cannot be read


def test_published_graphs_are_not_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nations = kge_data.load("nations")
    model = KGEModel(RefH, nations.num_entities, nations.num_relations, ModelConfig(dim=4))
    save_model(Path("run"), model, nations, "nations")
    monkeypatch.setattr("mulde.kge.storage.graph.load_graph", lambda *_, **__: 1 / 0)
    found, remarks = told(Path("run"))
    assert found.checksum == nations.checksum and remarks == []


def test_a_graph_from_memory_is_compared_with_nothing(run: Path) -> None:
    graph = kge_data.from_triples([("x", "r", "y")], [("y", "r", "x")], [("x", "r", "x")], name="kg")
    mulde.train("diste", graph, folder="memory", dim=4, epochs=1)
    found, remarks = told(Path("memory"))
    assert (found.checksum, remarks) == (graph.checksum, [])


def test_another_graph_with_the_same_names_is_used(run: Path) -> None:
    other = written("other", ("a knows b", "c knows b", "c likes a"), ("b knows c",))
    found, remarks = told(run, "other")
    assert found.checksum == other.checksum
    assert remarks == ["other differs from the graph of the training: 1 triple added, 1 triple removed; other is used"]
    assert seen_in_training(run, found, "test") == 1
    prior = open_model(run, found).graph_prior
    assert prior is not None and prior.index.known.contains([1], [0], [2]).all()  # b knows c: of the training
    assert told(run, "kg")[1] == []


def test_another_numbering_and_new_names(run: Path) -> None:
    written("other", ("A knows b", "b knows c", "c likes a", "a hates b"), ("c knows a",))
    found, remarks = told(run, "other")
    own = graph_of(run)
    assert (found.entities, found.relations, found.name) == (own.entities, own.relations, "other")
    names = [(found.entities[h], found.relations[r], found.entities[t]) for h, r, t in found.train]
    assert names == [("b", "knows", "c"), ("c", "likes", "a")]
    assert remarks == [
        "other differs from the graph of the training: 3 triples added, 2 triples removed, 1 new entity, 1 new "
        "relation; other is used; triples left out for their new names: 2"
    ]
    assert open_model(run, found).graph_prior is not None


def test_a_graph_of_which_the_model_knows_less_than_half_is_refused(run: Path) -> None:
    written("other", ("A knows b", "b knows C", "c likes a"), ("a likes D",))
    with pytest.raises(
        UsageError,
        match=r"other: expected a graph with the names of model run, but 3 of its 4 triples have .*or leave out --data",
    ):
        graph_of(run, "other")
    with pytest.raises(kge_data.DataError, match="natoins"):
        graph_of(run, "natoins")


@pytest.mark.parametrize("damage", ["cut", "of another graph"])
def test_a_damaged_graph_is_reported(run: Path, damage: str) -> None:
    if damage == "cut":
        content = Path("run/known.npz").read_bytes()
        Path("run/known.npz").write_bytes(content[:-30])
    else:
        graph = written("other", (*TRAIN, "a knows c"))
        model = KGEModel(RefH, graph.num_entities, graph.num_relations, ModelConfig(dim=4))
        save_model(Path("another"), model, graph, "other")
        Path("another/known.npz").replace("run/known.npz")
    with pytest.raises(
        UsageError,
        match=r"run/known\.npz: its checksum is not .*; repeat the training command",
    ):
        graph_of(run)


def test_a_folder_of_an_earlier_version_loads_its_source(run: Path) -> None:
    for name in FILES:
        (run / name).unlink()
    assert told(run)[0].checksum == kge_data.load(Path("kg")).checksum
    written("kg", (*TRAIN, "a knows c"))
    assert told(run)[1] == ["kg has other triples than the graph of the training; kg is used"]
    with pytest.raises(UsageError, match=r"kg has the names, but not the triples that .*; pass the right graph"):
        open_model(run)
    written("kg", ("x knows y", "y likes x"))
    for data in (None, "kg"):
        with pytest.raises(UsageError, match=r"another list of names \(3 .* here 4 .*; pass the right graph"):
            graph_of(run, data)
    Path("kg").rename("moved")
    with pytest.raises(UsageError, match="model run was trained on kg, which is not found; pass the graph with --data"):
        graph_of(run)


def test_a_teacher_is_compared_with_the_data_of_its_junior(run: Path) -> None:
    graph = written("kg", ("a knows b", "b likes c"), ("b knows c",))
    assert compared(run, graph) == "1 triple added, 2 triples removed"
    assert compared(run, graph_of(run, tell=ignore)) == ""
    assert open_teacher(run, graph) is not None


def test_the_checksum_of_names_tells_line_feeds_from_lists() -> None:
    empty = np.empty((0, 3), dtype=np.int64)
    lists = [
        (("a", "b"), ("r",)),
        (("a\nb",), ("r",)),
        (("a",), ("b", "r")),
        (("a", "", "b"), ("r",)),
        (("a",), ("b", "", "r")),
        (("a\n\nr",), ("r",)),
    ]
    graphs = [TripleSet("g", empty, empty, empty, entities, relations) for entities, relations in lists]
    assert len({names_checksum(graph) for graph in graphs}) == len(lists)
    assert names_checksum(graphs[0]) == hashlib.sha256(b"a\nb\n\nr").hexdigest()  # as in earlier versions
