"""Models of PyKEEN's own, trained by it, as teachers of ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pykeen.models import FixedModel, Model, model_resolver
from pykeen.training import SLCWATrainingLoop
from pykeen.triples import TriplesFactory
from torch import Tensor

from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.teachers.ensemble import Ensemble
from mulde.pykeen import PyKEENTeacher, factories, open_teacher

OPTIONS: dict[str, dict[str, Any]] = {
    "TransE": {"embedding_dim": 4},
    "DistMult": {"embedding_dim": 4},
    "ComplEx": {"embedding_dim": 4},
    "RotatE": {"embedding_dim": 4},
    "ConvE": {
        "embedding_dim": 12,
        "embedding_height": 3,
        "embedding_width": 4,
        "output_channels": 2,
        "kernel_height": 2,
    },
    "TuckER": {"embedding_dim": 4, "relation_dim": 3},
    "NodePiece": {"embedding_dim": 4, "num_tokens": 3},
    "CompGCN": {"embedding_dim": 4, "encoder_kwargs": {"num_layers": 1}},
}
NEEDS_INVERSES = {"NodePiece", "CompGCN"}  # their encoders are built on inverse triples
CASES = [(name, True) for name in OPTIONS] + [(name, False) for name in OPTIONS if name not in NEEDS_INVERSES]

# the teacher numbers entities and relations backwards, and has one more of each
QUERIES = torch.tensor([[0, 0], [3, 7], [13, 108], [5, 109], [5, 1], [0, 2]])
HEADS, RELATIONS = QUERIES.T


@pytest.fixture(scope="session")
def their_factory(nations: TripleSet) -> TriplesFactory:
    entities = {name: number for number, name in enumerate(reversed([*nations.entities, "atlantis"]))}
    relations = {name: number for number, name in enumerate(reversed([*nations.relations, "sank"]))}
    entity_of = np.array([entities[name] for name in nations.entities])
    relation_of = np.array([relations[name] for name in nations.relations])
    heads, kinds, tails = nations.train.T
    triples = np.stack([entity_of[heads], relation_of[kinds], entity_of[tails]], 1)
    extra = [[entities["atlantis"], relations["sank"], entities["atlantis"]]]
    return TriplesFactory(np.concatenate([triples, extra]), entities, relations)


@pytest.fixture(scope="session")
def trained(their_factory: TriplesFactory) -> dict[tuple[str, bool], tuple[Model, TriplesFactory]]:
    """Each model after one epoch, made when it is first used."""

    class Trained(dict[tuple[str, bool], tuple[Model, TriplesFactory]]):
        def __missing__(self, kind: tuple[str, bool]) -> tuple[Model, TriplesFactory]:
            name, inverses = kind
            factory = their_factory.clone_and_exchange_triples(
                their_factory.mapped_triples, create_inverse_triples=inverses
            )
            model = model_resolver.make(name, triples_factory=factory, random_seed=0, **OPTIONS[name])
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            SLCWATrainingLoop(model=model, triples_factory=factory, optimizer=optimizer).train(
                factory, num_epochs=1, batch_size=1024, use_tqdm=False
            )
            self[kind] = model, factory
            return self[kind]

    return Trained()


@pytest.mark.parametrize(("name", "inverses"), CASES)
def test_scores_are_those_of_the_model(name: str, inverses: bool, trained: Any, nations: TripleSet) -> None:
    model, factory = trained[name, inverses]
    teacher = PyKEENTeacher(model, factory, nations)
    scores = teacher.score_all(HEADS, RELATIONS)
    assert scores.shape == (len(HEADS), nations.num_entities)
    entity = torch.tensor([factory.entity_to_id[label] for label in nations.entities])
    for row, (head, relation) in enumerate(QUERIES.tolist()):
        query, kind = int(entity[head]), factory.relation_to_id[nations.relations[relation // 2]]
        with torch.no_grad():
            if relation % 2 == 0:
                expected = model.predict_t(torch.tensor([[query, kind]]))
            else:
                expected = model.predict_h(torch.tensor([[kind, query]]))
        torch.testing.assert_close(scores[row], expected[0, entity], rtol=1e-4, atol=1e-5)

    candidates = torch.randint(nations.num_entities, (len(HEADS), 4), generator=torch.Generator().manual_seed(0))
    chosen = teacher.score(HEADS, RELATIONS, candidates)
    torch.testing.assert_close(chosen, scores.gather(1, candidates), rtol=1e-4, atol=1e-5)
    single = teacher.score(HEADS, RELATIONS, candidates[:, 0])
    torch.testing.assert_close(single, chosen[:, 0], rtol=1e-4, atol=1e-5)
    assert not scores.requires_grad and not chosen.requires_grad and not model.training


def test_directions_differ(trained: Any, nations: TripleSet) -> None:
    teacher = PyKEENTeacher(*trained["TransE", False], nations)
    forward, backward = teacher.score_all(torch.tensor([2, 2]), torch.tensor([10, 11]))
    assert not torch.allclose(forward, backward)


def test_models_without_candidates_score_all_entities(nations: TripleSet) -> None:
    training = factories(nations)[0]
    teacher = PyKEENTeacher(FixedModel(triples_factory=training), training, nations)
    assert not teacher.by_candidate
    candidates = torch.tensor([[3, 1]] * len(HEADS))
    expected = teacher.score_all(HEADS, RELATIONS)[:, [3, 1]]
    torch.testing.assert_close(teacher.score(HEADS, RELATIONS, candidates), expected)


def test_more_queries_than_one_call_takes(trained: Any, nations: TripleSet) -> None:
    teacher = PyKEENTeacher(*trained["DistMult", True], nations)
    heads, relations = torch.arange(100) % 14, torch.arange(100) % 110
    whole, ids = teacher.score_all(heads, relations), torch.arange(300).view(100, 3) % 14
    for scores_per_call in (1, 29, 100):
        teacher = PyKEENTeacher(*trained["DistMult", True], nations, scores_per_call=scores_per_call)
        torch.testing.assert_close(teacher.score_all(heads, relations), whole, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(teacher.score(heads, relations, ids), whole.gather(1, ids), rtol=1e-5, atol=1e-6)
    assert teacher.score_all(heads[:0], relations[:0]).shape == (0, 14)


def test_they_are_in_ensembles_and_gates_get_gradients(trained: Any, nations: TripleSet) -> None:
    ensemble = Ensemble([PyKEENTeacher(*trained[name, True], nations) for name in ("TransE", "CompGCN")])
    candidates = torch.zeros(len(HEADS), 3, dtype=torch.int64)
    opinions = ensemble.score(HEADS, RELATIONS, candidates)
    assert opinions.shape == (2, len(HEADS), 3)
    gates = torch.ones(2, 1, 1, requires_grad=True)
    (gates * opinions).sum().backward()
    assert gates.grad is not None and gates.grad.isfinite().all()
    assert not any(parameter.requires_grad for parameter in ensemble.parameters())
    delivered: list[Tensor] = [rows for rows, _ in ensemble.blocks(HEADS, RELATIONS)]
    assert sorted(torch.cat(delivered).tolist()) == list(range(len(HEADS)))
    direct = ensemble.teachers[0].score(HEADS, RELATIONS, candidates)
    (gates[0] * direct).sum().backward()  # raises an error for a tensor of inference mode


def test_names_the_teacher_lacks_are_listed(trained: Any, nations: TripleSet) -> None:
    more = dataclasses.replace(nations, entities=(*nations.entities, *(f"new{number}" for number in range(12))))
    with pytest.raises(UsageError) as caught:
        PyKEENTeacher(*trained["TransE", True], more)
    assert "does not know 12 of the graph's 26 entities: new0, new1," in str(caught.value)
    assert "new9, …; train it on this graph" in str(caught.value) and "new10" not in str(caught.value)
    other = dataclasses.replace(nations, relations=(*nations.relations[:-1], "befriends"))
    with pytest.raises(UsageError, match="does not know 1 of the graph's 55 relations: befriends; train"):
        PyKEENTeacher(*trained["TransE", True], other)


@pytest.fixture
def result(trained: Any, tmp_path: Path) -> Path:
    """Files of PipelineResult.save_to_directory for a model."""
    model, factory = trained["RotatE", True]
    torch.save(model, tmp_path / "trained_model.pkl", pickle_protocol=5)
    factory.to_path_binary(tmp_path / "training_triples")
    return tmp_path


def test_folder_needs_allow_pickle(result: Path, trained: Any, nations: TripleSet) -> None:
    with pytest.raises(UsageError, match=r"a pickle can run any program when it is opened.*--allow-pickle"):
        open_teacher(result, nations)
    teacher = open_teacher(result, nations, allow_pickle=True)
    expected = PyKEENTeacher(*trained["RotatE", True], nations).score_all(HEADS, RELATIONS)
    assert torch.equal(teacher.score_all(HEADS, RELATIONS), expected)


def test_folder_that_is_no_result_is_reported(result: Path, nations: TripleSet, tmp_path_factory: Any) -> None:
    with pytest.raises(UsageError, match=r"found no trained_model\.pkl"):
        open_teacher(tmp_path_factory.mktemp("empty"), nations, allow_pickle=True)
    torch.save({"weights": 1}, result / "trained_model.pkl")
    with pytest.raises(UsageError, match="expected a PyKEEN model, found dict"):
        open_teacher(result, nations, allow_pickle=True)
