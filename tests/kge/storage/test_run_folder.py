"""Models are saved and loaded exactly; refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from kge_data import TripleSet, from_triples, packed
from mulde.errors import NotWritable, UsageError
from mulde.files import write_atomically
from mulde.geometry.spaces import Euclidean
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.refh import RefH
from mulde.kge.storage.run_folder import describe, find_scorer, open_model, save_model, scorer_name, stored_model

QUERIES = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 3])
CONFIGS = [
    ModelConfig(dim=4),
    ModelConfig(dim=4, bias="shared", dtype="float64"),
    ModelConfig(dim=4, bias="none", curvature="global", artanh_limit=0.996),
    ModelConfig(dim=4, parametrization="manifold", curvature="fixed", initial_curvature=0.7),
]


class Shift(Scorer):
    """A scorer outside mulde/kge/scorers."""

    space = Euclidean
    relation = {"shift": "vector"}

    @staticmethod
    def query(head: Tensor, *, shift: Tensor) -> Tensor:  # type: ignore[override]
        return head + shift


@pytest.fixture
def graph() -> TripleSet:
    return from_triples(
        [("a", "knows", "b"), ("b", "likes", "c")], [("c", "knows", "a")], [("a", "likes", "b")], name="people"
    )


def trained(config: ModelConfig, graph: TripleSet, scorer: type[Scorer] = RefH) -> KGEModel:
    """A model whose parameters are all away from their initial values."""
    model = KGEModel(scorer, graph.num_entities, graph.num_relations, config, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(2)).to(parameter)
    return model


@pytest.mark.parametrize("config", CONFIGS, ids=["two", "one", "none", "manifold"])
def test_scores_come_back(config: ModelConfig, graph: TripleSet, tmp_path: Path) -> None:
    model = trained(config, graph)
    save_model(tmp_path / "new/run", model, graph, "people.tsv")
    again = open_model(tmp_path / "new/run", graph)
    assert again.config == config
    assert not again.training
    assert torch.equal(again.score_all(*QUERIES), model.score_all(*QUERIES))
    names = {"model.json", "model.safetensors", "entities.tsv", "relations.tsv", "known.npz"}
    assert {path.name for path in (tmp_path / "new/run").iterdir()} == names


def test_the_description(graph: TripleSet, tmp_path: Path) -> None:
    model = trained(ModelConfig(dim=4), graph)
    save_model(tmp_path, model, graph, "people.tsv")
    description = describe(tmp_path)
    assert description["scorer"] == "refh"
    assert description["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert description["data"] == {"source": "people.tsv", "name": "people", "checksum": graph.checksum}


def test_other_names_are_refused_even_if_the_counts_agree(graph: TripleSet, tmp_path: Path) -> None:
    save_model(tmp_path, trained(ModelConfig(dim=4), graph), graph, "people.tsv")
    other = from_triples([("a", "knows", "b"), ("b", "likes", "d")], [], [], name="others")
    with pytest.raises(UsageError, match="trained on another list of names"):
        open_model(tmp_path, other)


def test_a_scorer_of_ones_own(graph: TripleSet, tmp_path: Path) -> None:
    model = trained(ModelConfig(dim=4), graph, Shift)
    save_model(tmp_path, model, graph, "people.tsv")
    assert describe(tmp_path)["scorer"] == "Shift"
    assert torch.equal(open_model(tmp_path, graph, Shift).score_all(*QUERIES), model.score_all(*QUERIES))
    with pytest.raises(UsageError, match="pass your own scorer as a class"):
        open_model(tmp_path)
    with pytest.raises(UsageError, match="was trained as Shift, not as refh"):
        open_model(tmp_path, graph, RefH)


def test_names_of_scorers() -> None:
    assert (scorer_name(RefH), scorer_name(Shift)) == ("refh", "Shift")
    assert find_scorer("refh") is RefH
    for name in ("tails", "model", "attention", "scorer"):
        with pytest.raises(UsageError, match=f'no scorer called "{name}"; .*; pass your own scorer as a class'):
            find_scorer(name)


def test_a_missing_package_inside_a_scorer_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    find_scorer.cache_clear()
    monkeypatch.delitem(sys.modules, "mulde.kge.scorers.refh")
    monkeypatch.setitem(sys.modules, "mulde.geometry.givens", None)
    with pytest.raises(ModuleNotFoundError, match="givens"):
        find_scorer("refh")
    find_scorer.cache_clear()


def test_a_missing_table_is_reported(graph: TripleSet, tmp_path: Path) -> None:
    for bias in ("shared", "separate"):
        model = trained(ModelConfig(dim=4, bias=bias), graph)  # type: ignore[arg-type]
        for name in ("entity", "head_bias", "relation.reflection"):
            tables = {key: table for key, table in model.state_dict().items() if key != name}
            if bias == "shared":
                tables.pop("tail_bias")
            with pytest.raises(UsageError, match=rf"not the weights of RefH, without {name};"):
                stored_model(model, save(tables), graph.train)


def test_a_file_of_pickles_is_not_opened(graph: TripleSet, tmp_path: Path) -> None:
    model = trained(ModelConfig(dim=4), graph)
    save_model(tmp_path, model, graph, "people.tsv")
    torch.save(model.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="expected a safetensors file, found a header of"):
        open_model(tmp_path, graph)


def test_a_model_that_may_not_be_written_again(
    graph: TripleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run folder of another user, whose zlib compresses the graph to other bytes."""

    def refuse(path: Path, *_: object) -> None:
        raise NotWritable(path, "no permission", "")

    model = KGEModel(RefH, graph.num_entities, graph.num_relations, ModelConfig(dim=4))
    save_model(tmp_path, model, graph, "graph.tsv")
    monkeypatch.setattr(packed.np, "savez_compressed", np.savez)
    monkeypatch.setattr("mulde.kge.storage.run_folder.write_atomically", refuse)
    save_model(tmp_path, model, graph, "../graph.tsv")
    other = KGEModel(RefH, graph.num_entities, graph.num_relations, ModelConfig(dim=4), seed=1)
    with pytest.raises(NotWritable):
        save_model(tmp_path, other, graph, "graph.tsv")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError):
        save_model(tmp_path, model, graph, "graph.tsv")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr("os.fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
