"""Conversion of graphs and models to PyKEEN and back, in memory and as folders."""

from __future__ import annotations

import dataclasses
import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pykeen.models import TransE
from pykeen.triples import CoreTriplesFactory, KGInfo, TriplesFactory

import kge_data
import mulde
from kge_data import TripleSet, from_triples
from kge_data.splitting import split
from mulde.errors import UsageError, WriteError
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_terms import MASKED
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.roth import RotH
from mulde.pykeen import factories, from_pykeen, open_for_pykeen, save_for_pykeen, to_pykeen, triple_set
from mulde.pykeen.graphs import read_factory
from mulde.pykeen.models import ScorerModel, model_class
from mulde.pykeen.teachers import PyKEENTeacher

# labels that reading with guessed types destroys, and one that needs quoting
NASTY = from_triples(
    [("00260881", "1", "NA"), ("NA", "1", 'say "no"'), ("1.0", "nan", "00260881")],
    valid=[("1.0", "nan", "seen in valid only")],
    test=[("seen in test only", "1", "NA")],
    name="nasty",
)


def our_model(graph: TripleSet, **options: Any) -> KGEModel:
    config = ModelConfig(dim=4, init_scale=0.3, dtype="float64", **options)
    return KGEModel(RotH, graph.num_entities, graph.num_relations, config, seed=3).eval()


def all_scores(model: KGEModel | ScorerModel) -> torch.Tensor:
    relations = 2 * model.num_relations if isinstance(model, KGEModel) else model.num_relations
    heads, kinds = torch.meshgrid(torch.arange(model.num_entities), torch.arange(relations), indexing="ij")
    with torch.no_grad():
        if isinstance(model, KGEModel):
            return model.score_all(heads.flatten(), kinds.flatten())
        return model.score_t(torch.stack([heads.flatten(), kinds.flatten()], 1))


def equal_graphs(left: TripleSet, right: TripleSet) -> bool:
    arrays = all(np.array_equal(getattr(left, split), getattr(right, split)) for split in ("train", "valid", "test"))
    return arrays and (left.entities, left.relations) == (right.entities, right.relations)


def test_factories_keep_ids_and_unseen_entities() -> None:
    training, validation, testing = factories(NASTY)
    assert [factory.num_entities for factory in (training, validation, testing)] == [6, 6, 6]
    assert [factory.num_triples for factory in (training, validation, testing)] == [3, 1, 1]
    assert [factory.create_inverse_triples for factory in (training, validation, testing)] == [
        True,
        False,
        False,
    ]
    assert training.num_relations == 2 * NASTY.num_relations
    head, relation, tail = testing.triples[0]
    assert (head, relation, tail) == ("seen in test only", "1", "NA")
    back = triple_set(training, validation, testing)
    assert equal_graphs(back, NASTY) and back.name == "nasty" and back.checksum == NASTY.checksum


def test_an_empty_split_is_no_obstacle() -> None:
    graph = dataclasses.replace(NASTY, valid=NASTY.valid[:0])
    assert equal_graphs(triple_set(*factories(graph)), graph)
    assert len(triple_set(factories(graph)[0], seed=None).test) == 0


def test_a_single_factory_is_split_as_a_single_file_is() -> None:
    whole = kge_data.load("nations")
    training = factories(whole)[0]
    graph, again, other = triple_set(training), triple_set(training), triple_set(training, seed=1)
    assert equal_graphs(graph, again) and not equal_graphs(graph, other)
    assert (graph.entities, graph.relations) == (whole.entities, whole.relations)
    expected = split(whole.train, 0)
    for name, part in zip(("train", "valid", "test"), expected, strict=True):
        assert np.array_equal(getattr(graph, name), part) and len(part) > 50
    assert len(triple_set(training, testing=factories(whole)[2]).valid) == 0


def test_a_factory_without_labels_is_refused() -> None:
    bare = CoreTriplesFactory(torch.tensor([[0, 0, 1]]), 2, 1)
    with pytest.raises(UsageError, match="expected a TriplesFactory, which has labels, got CoreTriplesFactory; "):
        triple_set(bare)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"got TriplesFactory; make a graph .* factories with mulde.pykeen.triple_set"):
        mulde.train("roth", factories(NASTY)[0])  # type: ignore[arg-type]


def test_factories_that_number_differently_are_refused() -> None:
    training = TriplesFactory.from_labeled_triples(np.array([["a", "r", "b"], ["b", "r", "c"]]))
    testing = TriplesFactory.from_labeled_triples(np.array([["a", "r", "c"]]))
    with pytest.raises(UsageError, match="number entities and relations as training does"):
        triple_set(training, testing=testing)


def test_ids_with_gaps_are_refused() -> None:
    gappy = TriplesFactory(torch.tensor([[0, 0, 2]]), {"a": 0, "b": 2}, {"r": 0}, num_entities=3)
    with pytest.raises(UsageError, match="ids of entities must run from 0 to 1 without gaps"):
        triple_set(gappy)


def test_saved_factory_is_read_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = factories(NASTY)[0]
    training.to_path_binary(tmp_path)
    monkeypatch.setattr(torch, "load", None)
    found = read_factory(tmp_path)
    assert found.entity_to_id == training.entity_to_id and found.relation_to_id == training.relation_to_id
    assert torch.equal(found.mapped_triples, training.mapped_triples) and found.create_inverse_triples


def test_damaged_factory_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"entity_to_id.tsv.gz: not there"):
        read_factory(tmp_path)
    factories(NASTY)[0].to_path_binary(tmp_path)
    labels = tmp_path / "entity_to_id.tsv.gz"
    whole = labels.read_bytes()
    labels.write_bytes(whole[:-12])
    with pytest.raises(UsageError, match=r"entity_to_id.tsv.gz: expected a compressed table"):
        read_factory(tmp_path)
    with gzip.open(labels, "wt") as stream:
        stream.write("id\tlabel\n0\ta\tb\n")
    with pytest.raises(UsageError, match=r"expected 2 columns, found \['0', 'a', 'b'\]"):
        read_factory(tmp_path)


def test_handing_over_leaves_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    to_pykeen(our_model(NASTY), NASTY)
    assert torch.equal(torch.rand(3), expected)


def test_the_copy_is_a_copy(nations: TripleSet) -> None:
    model = our_model(nations)
    before = all_scores(model)
    to_pykeen(model, nations).reset_parameters_()
    assert torch.equal(all_scores(model), before)


def test_a_model_of_another_graph_is_refused(nations: TripleSet) -> None:
    with pytest.raises(UsageError, match=r"the model has 14 entities and 55 relations, nasty has 6 and 2"):
        to_pykeen(our_model(nations), NASTY)


def test_what_cannot_come_back_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"expected a PyKEEN model of one of our scorers, got TransE; as a teacher.*PyKEENTeacher"
    ):
        from_pykeen(TransE(triples_factory=KGInfo(3, 1, True), embedding_dim=2, random_seed=0))
    network = model_class(RotH)(triples_factory=KGInfo(3, 1, False), embedding_dim=2, random_seed=0)
    with pytest.raises(UsageError, match="trained without inverse triples"):
        from_pykeen(network)


@pytest.mark.parametrize(
    "options", [{}, {"curvature": "global", "bias": "shared"}, {"curvature": "fixed", "parametrization": "manifold"}]
)
def test_folder_opens_on_both_sides_with_equal_scores(options: dict[str, Any], tmp_path: Path) -> None:
    model = our_model(NASTY, **options)
    expected = all_scores(model)
    save_for_pykeen(model, NASTY, tmp_path / "handed over")

    plain = torch.load(tmp_path / "handed over" / "trained_model.pkl", weights_only=False)
    assert type(plain).__name__ == "RotH" and not plain.training
    torch.testing.assert_close(all_scores(plain), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(all_scores(from_pykeen(plain)), expected)

    network, training = open_for_pykeen(tmp_path / "handed over")
    torch.testing.assert_close(all_scores(network), expected, rtol=1e-12, atol=1e-12)
    assert training.entity_to_id == {name: number for number, name in enumerate(NASTY.entities)}
    assert [path.name for path in tmp_path.iterdir()] == ["handed over"]


def test_opening_unpickles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_for_pykeen(our_model(NASTY), NASTY, tmp_path / "x")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was opened")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    (tmp_path / "x" / "trained_model.pkl").unlink()
    (tmp_path / "x" / "training_triples" / "base.pth").unlink()
    model, factory = open_for_pykeen(tmp_path / "x")
    assert model.num_entities == factory.num_entities == NASTY.num_entities


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists already; choose another name"):
        save_for_pykeen(our_model(NASTY), NASTY, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own writer, which PyKEEN uses, does not say why it fails."""
    save = torch.save

    def full(content: object, place: object, **options: object) -> None:
        if isinstance(place, Path):
            raise RuntimeError("basic_ios::clear: iostream error")
        save(content, place, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WriteError, match="x: could not be written; check the space"):
        save_for_pykeen(our_model(NASTY), NASTY, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("mulde.pykeen.folders.write_atomically", full)
    with pytest.raises(OSError, match="no space"):
        save_for_pykeen(our_model(NASTY), NASTY, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_label_maps_of_another_model_are_refused(tmp_path: Path) -> None:
    save_for_pykeen(our_model(NASTY), NASTY, tmp_path / "x")
    renamed = dataclasses.replace(NASTY, entities=tuple(name.upper() for name in NASTY.entities))
    factories(renamed)[0].to_path_binary(tmp_path / "x" / "training_triples")
    with pytest.raises(UsageError, match="another list of names"):
        open_for_pykeen(tmp_path / "x")


def test_self_loops_are_masked_on_both_sides(nations: TripleSet) -> None:
    model = our_model(nations).mask_self_loops(np.array([[0, 2, 0]]))
    network = to_pykeen(model, nations)
    assert torch.equal(network.self_loops, model.self_loops) and torch.equal(
        from_pykeen(network).self_loops, model.self_loops
    )
    triples = torch.tensor([[3, 2, 3], [3, 1, 3], [3, 1, 4]]) * torch.tensor([1, 2, 1])  # forward ids are even
    h, r, t = triples.T
    with torch.no_grad():
        expected = model.score(h, r, t)
        expected[1] = MASKED
        scores = {
            "hrt": network.score_hrt(triples).squeeze(1),
            "t": network.score_t(triples[:, :2])[torch.arange(3), t],
            "some": network.score_t(triples[:, :2], tails=t.unsqueeze(1)).squeeze(1),
            "h": network.score_h(triples[:, 1:])[torch.arange(3), h],
            "r": network.score_r(triples[:, [0, 2]])[torch.arange(3), r],
        }
    for name, found in scores.items():
        torch.testing.assert_close(found, expected, msg=name)
    teacher = PyKEENTeacher(network, factories(nations)[0], nations)  # teachers are queried without the mask
    torch.testing.assert_close(teacher.score(h, r, t), model.score(h, r, t).detach())
    assert torch.equal(network.self_loops, model.self_loops)


def test_a_scorer_that_pickle_cannot_name_is_refused(tmp_path: Path) -> None:
    class Own(RotH):
        """RotH under another name."""

    model = KGEModel(Own, NASTY.num_entities, NASTY.num_relations, ModelConfig(dim=4))
    with pytest.raises(UsageError, match=r"Own: PyKEEN's folder names the class of the model, .*; export the embed"):
        save_for_pykeen(model, NASTY, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
