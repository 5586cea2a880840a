"""Cached teacher predictions against a naive computation, in memory and in a folder."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kge_data import TripleSet, from_triples
from mulde.errors import UsageError, WriteError
from mulde.kge.feeds import AnswerFeed
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.refh import RefH
from mulde.kge.scorers.roth import RotH
from mulde.kge.teachers import cached_predictions as module
from mulde.kge.teachers.cached_predictions import CachedPredictions, cached_predictions
from mulde.kge.teachers.ensemble import Ensemble
from tests.kge import toys

GRAPH = toys.toy_graph(entities=9)
ABOUT = "predictions.json"


def ensemble(graph: TripleSet = GRAPH) -> Ensemble:
    return toys.ensemble(graph, (RefH, ComplEx))


def predictions(folder: Path | None, count: int = 4, graph: TripleSet = GRAPH) -> CachedPredictions:
    return cached_predictions(ensemble(graph), graph, count, folder, progress=False)


def naive(graph: TripleSet) -> list[list[tuple[float, int]]]:
    """For every query, from the best: (log-probability, entity) of those who answer it in no training triple."""
    feed, teachers = AnswerFeed(graph, 1), list(ensemble(graph).teachers)
    result = []
    for number in range(feed.count):
        batch = feed.batch(torch.tensor([number]))
        logarithms = []
        for teacher in teachers:
            scores = teacher.score_all(batch.heads, batch.relations)[0].tolist()
            total = math.log(math.fsum(map(math.exp, scores)))
            logarithms.append([score - total for score in scores])
        means = [sum(each) / len(teachers) for each in zip(*logarithms, strict=True)]
        known = set(batch.answers.tolist())
        result.append(sorted(((mean, e) for e, mean in enumerate(means) if e not in known), reverse=True))
    return result


def test_they_are_those_of_a_naive_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 7)
    found, expected = predictions(None), naive(GRAPH)
    assert len(found) == len(expected) and found.ids.shape == (len(expected), 4)
    for ids, logarithms, others in zip(found.ids, found.log_probabilities, expected, strict=True):
        best = others[:4]
        kept = len(best)
        assert ids[:kept].tolist() == [entity for _, entity in best]
        assert logarithms[:kept].tolist() == pytest.approx([mean for mean, _ in best], rel=1e-3)  # float16
        assert (logarithms[kept:] == -np.inf).all()


def test_probabilities_are_normalised_and_softened() -> None:
    found, index = predictions(None), torch.tensor([3, 0, 3])
    for temperature in (1.0, 2.5):
        ids, probabilities = found.labels(index, temperature)
        assert ids.dtype == torch.int64 and ids.tolist() == found.ids[[3, 0, 3]].tolist()
        softened = torch.from_numpy(found.log_probabilities[[3, 0, 3]].astype(np.float32) / temperature).exp()
        assert_close(probabilities, softened / softened.sum(1, keepdim=True))


def test_where_nearly_all_entities_are_answers() -> None:
    """e0 has every entity as a tail of r, which leaves none; other queries keep theirs."""
    names = [f"e{i}" for i in range(5)]
    train = [("e0", "r", name) for name in names] + [("e1", "r", name) for name in names[:4]]
    graph = from_triples(train, [("e2", "r", "e3")], [("e3", "r", "e4")])
    found, feed = predictions(None, count=50, graph=graph), AnswerFeed(graph, 1)
    _, probabilities = found.labels(torch.arange(feed.count))
    batch = feed.batch(torch.arange(feed.count))
    left = 5 - torch.bincount(batch.rows)
    assert found.ids.shape == (feed.count, 5) and sorted(set(left.tolist())) == [0, 1, 3, 4]
    assert (probabilities > 0).sum(1).tolist() == left.tolist()
    assert_close(probabilities.sum(1), (left > 0).float())
    answers = set(zip(batch.rows.tolist(), batch.answers.tolist(), strict=True))
    named = {(row, int(found.ids[row, i])) for row, i in (probabilities > 0).nonzero().tolist()}
    assert not named & answers


def test_a_folder_is_reopened_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = predictions(tmp_path / "a")
    monkeypatch.setattr(
        "mulde.kge.teachers.cached_predictions.cache_predictions", lambda *_: pytest.fail("queried again")
    )
    again, memory = predictions(tmp_path / "a"), first
    assert isinstance(again.ids, np.memmap) and isinstance(again.log_probabilities, np.memmap)
    assert np.array_equal(again.ids, memory.ids) and again.about == memory.about
    assert np.array_equal(again.log_probabilities, memory.log_probabilities)


def test_a_folder_about_something_else_is_refused(tmp_path: Path) -> None:
    found = predictions(tmp_path)
    others: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("top_k", 4, 3, {"count": 3}),
        ("data", GRAPH.checksum, toys.toy_graph(9, seed=1).checksum, {"graph": toys.toy_graph(9, seed=1)}),
    ]
    for name, there, here, change in others:
        with pytest.raises(UsageError) as complaint:
            predictions(tmp_path, **change)
        start = f"{tmp_path} holds predictions of other teachers or data; name another folder, or remove it:\n"
        assert str(complaint.value) == f"{start}  {name}: {there} in the folder, {here} here"
    with pytest.raises(UsageError, match=r"remove it:\n  teachers: 2 \(\w{8}, \w{8}\) in the folder, 1 \(\w{8}\) here"):
        cached_predictions(toys.ensemble(GRAPH, (RotH,)), GRAPH, 4, tmp_path, progress=False)
    assert predictions(tmp_path).about == found.about


def test_a_damaged_description_is_reported(tmp_path: Path) -> None:
    (tmp_path / ABOUT).write_text("{")
    with pytest.raises(UsageError, match=r"predictions\.json: expected JSON, but .*; remove the folder to compute"):
        predictions(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "missing", "other"])
def test_a_damaged_array_is_reported(tmp_path: Path, damage: str) -> None:
    predictions(tmp_path)
    path = tmp_path / "ids.npy"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "missing":
        path.unlink()
    else:
        np.save(path, np.zeros((3, 4), np.int32))
    with pytest.raises(UsageError, match=r"ids\.npy: .*; remove the folder to compute them again"):
        predictions(tmp_path)


def test_a_full_disk_is_reported_before_anything_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "posix_fallocate", full)
    with pytest.raises(WriteError, match="no space left on the device"):
        predictions(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writing_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = predictions(None)
    folder, total = tmp_path / "cache", len(expected)
    monkeypatch.setattr(module, "ROWS", 8)
    monkeypatch.setattr(module, "PART", 16)
    original = module.ensemble_log_probabilities

    def stopping(ensemble: Ensemble, heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        calls.append(len(heads))
        if len(calls) == stop:
            raise KeyboardInterrupt
        return original(ensemble, heads, relations)

    monkeypatch.setattr(module, "ensemble_log_probabilities", stopping)
    calls, stop = list[int](), 7  # the first call finds the number of entities, and the sixth ends the second part
    with pytest.raises(KeyboardInterrupt):
        predictions(folder)
    (parts,) = tmp_path.iterdir()
    assert not folder.exists() and sorted(it.name for it in parts.glob("*.npz")) == ["000000.npz", "000001.npz"]
    (parts / "000001.npz").write_bytes(b"damaged")
    calls, stop = [], 0
    again = predictions(folder)
    assert sum(calls) == total - 16 + 1 and list(tmp_path.iterdir()) == [folder]
    assert np.array_equal(again.ids, expected.ids)
    assert np.array_equal(again.log_probabilities, expected.log_probabilities)
    assert json.loads((folder / ABOUT).read_text())["bytes"] == again.ids.nbytes + again.log_probabilities.nbytes


@pytest.mark.parametrize("count", [4, 3])
def test_another_process_that_is_faster_wins(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the first one are not changed; the slower one reads them, or is refused if its options differ."""
    original, expected, faster = module.ensemble_log_probabilities, predictions(None), list[CachedPredictions]()

    def slow(*query: Any) -> torch.Tensor:
        if not faster:
            with monkeypatch.context() as patch:
                patch.setattr(module, "ensemble_log_probabilities", original)
                patch.setattr(module.os, "getpid", lambda: 0)
                faster.append(predictions(tmp_path / "cache"))
        assert np.array_equal(faster[0].ids, expected.ids)
        return original(*query)

    monkeypatch.setattr(module, "ensemble_log_probabilities", slow)
    if count == 4:
        found = predictions(tmp_path / "cache")
        assert found.opened and not faster[0].opened and found.about == faster[0].about
    else:
        with pytest.raises(
            UsageError, match=r"predictions of other teachers or data; .*\n  top_k: 4 in the folder, 3 here"
        ):
            predictions(tmp_path / "cache", count)
    assert np.array_equal(faster[0].ids, expected.ids)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_other_things_in_the_folder_are_refused_before_the_teachers_are_queried(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError) as error:
        predictions(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: expected predictions.json or an empty folder, found notes.txt; name another folder, or remove "
        "the folder to compute them again"
    )


def test_some_queries_only(tmp_path: Path) -> None:
    """Labels of the others have no weight, and other queries are other predictions."""
    whole, numbers = predictions(None), torch.tensor([1, 4, 5])
    for _ in range(2):
        found = cached_predictions(ensemble(), GRAPH, 4, tmp_path, progress=False, numbers=numbers)
        assert len(found) == 3
        ids, probabilities = found.labels(torch.tensor([5, 0, 1, 6]))
        expected = whole.labels(torch.tensor([5, 1]))
        assert torch.equal(ids[[0, 2]], expected[0]) and torch.equal(probabilities[[0, 2]], expected[1])
        assert not probabilities[[1, 3]].any()
    with pytest.raises(UsageError, match=r"predictions of other teachers or data; .*\n  queries: "):
        cached_predictions(ensemble(), GRAPH, 4, tmp_path, progress=False, numbers=torch.tensor([1, 4, 6]))
