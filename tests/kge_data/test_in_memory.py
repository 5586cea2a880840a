from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

import kge_data
from kge_data import DataError, TripleSet, from_triples

TRIPLES = [("anna", "knows", "bert"), ("bert", "knows", "carl"), ("carl", "likes", "anna")]


def _frame(**columns: list[Any]) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def _labels(graph: TripleSet, split: str = "train") -> list[tuple[str, ...]]:
    return [
        (graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in getattr(graph, split).tolist()
    ]  # fmt: skip


def test_lists_of_three_splits() -> None:
    graph = from_triples(TRIPLES, [["anna", "likes", "carl"]], [], name="people")
    assert graph.name == "people"
    assert graph.entities == ("anna", "bert", "carl")
    assert graph.relations == ("knows", "likes")
    assert _labels(graph) == TRIPLES
    assert _labels(graph, "valid") == [("anna", "likes", "carl")]
    assert graph.test.shape == (0, 3)
    assert graph.test.dtype == graph.train.dtype == np.int64


@pytest.mark.parametrize(
    "kind", ["array", "array of objects", "frame", "swapped frame", "plain frame", "iterator", "tuples"]
)
def test_every_kind_of_table_gives_the_same_graph(kind: str) -> None:
    heads, relations, tails = map(list, zip(*TRIPLES, strict=True))
    made: dict[str, Any] = {
        "array": np.array(TRIPLES),
        "array of objects": np.array(TRIPLES, dtype=object),
        "iterator": iter(TRIPLES),
        "tuples": tuple(TRIPLES),
    }
    if "frame" in kind:
        made["frame"] = _frame(head=heads, relation=relations, tail=tails, weight=[1, 2, 3])
        made["swapped frame"] = _frame(weight=[1, 2, 3], Object=tails, predicate=relations, subject=heads)
        made["plain frame"] = _frame(a=heads, b=relations, c=tails)
    graph = from_triples(made[kind], [], [])
    assert _labels(graph) == TRIPLES
    assert all(type(label) is str for label in graph.entities)


@pytest.mark.parametrize(
    "triples",
    [
        [(1, 0, 2), (2, 0, 10)],
        np.array([(1, 0, 2), (2, 0, 10)], dtype=np.int32),
        np.array([(1, 0, 2), (2, 0, 10)], dtype=np.float32),
        torch.tensor([(1, 0, 2), (2, 0, 10)]),
        [(np.int64(1), np.uint8(0), np.float64(2)), (2.0, 0, "10")],
    ],
)
def test_numbers_become_text(triples: Any) -> None:
    graph = from_triples(triples, [], [])
    assert _labels(graph) == [("1", "0", "2"), ("2", "0", "10")]


def test_without_splits_they_are_split_like_a_file(tmp_path: Any) -> None:
    triples = [(f"e{h}", f"r{h % 2}", f"e{t}") for h in range(12) for t in range(12)]
    file = tmp_path / "graph.tsv"
    file.write_text("".join("\t".join(triple) + "\n" for triple in triples))
    graph = from_triples(triples, name="graph", seed=3)
    assert [len(graph.train), len(graph.valid), len(graph.test)] == [130, 7, 7]
    assert graph.checksum == kge_data.load(file, seed=3).checksum
    assert graph.checksum != from_triples(triples, name="graph", seed=4).checksum


NAN = float("nan")


@pytest.mark.parametrize(
    ("triples", "message"),
    [
        ([("a", "r", "b"), ("a", "r")], "triples, row 2: expected 3 fields (head, relation, tail), got ('a', 'r')."),
        ([("a", "r", "b", "c")], "row 1: expected 3 fields"),
        (["abc"], "row 1: expected 3 fields (head, relation, tail), got 'abc'."),
        ([{"head": "a", "relation": "r", "tail": "b"}], "row 1: expected 3 fields"),
        ([{"a", "b", "c"}], "row 1: expected 3 fields"),
        ([None], "row 1: expected 3 fields (head, relation, tail), got None."),
        (
            [("a", "r", "b"), ("", "r", "b")],
            "row 2: expected a string or a number as head, got ''; give it a label or remove",
        ),
        ([("a", None, "b")], "row 1: expected a string or a number as relation, got None;"),
        ([("a", "r", NAN)], "row 1: expected a string or a number as tail, got nan;"),
        ([("a", "r", np.float32("inf"))], "row 1: expected a string or a number as tail, got "),
        ([("a", "r", True)], "row 1: expected a string or a number as tail, got True;"),
        ([("a", "r", b"b")], "row 1: expected a string or a number as tail, got b'b';"),
        ([(["a"], "r", "b")], "row 1: expected a string or a number as head, got ['a'];"),
        (np.array([[0.0, 1.0, NAN]]), "row 1: expected a string or a number as tail, got nan;"),
        (np.zeros((4, 2)), "expected an array of shape (n, 3), got (4, 2); its columns are head, relation and tail."),
        (np.zeros(3), "expected an array of shape (n, 3), got (3,)"),
        ("umls", "expected triples, got 'umls'; `kge_data.load` opens names and paths."),
        (7, "expected triples, got int; give a list, an array or a DataFrame."),
        ([], "triples: expected triples, but there are none; give at least one."),
        (np.empty((0, 3)), "triples: expected triples, but there are none; give at least one."),
        (TRIPLES, "triples: 3 different triples cannot be split so that"),
    ],
)  # fmt: skip
def test_what_is_refused(triples: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        from_triples(triples)


def test_frames_that_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    for missing in (None, NAN, pandas.NA, pandas.NaT):
        frame = _frame(head=["a", "b"], relation=["r", "r"], tail=["b", missing])
        with pytest.raises(DataError, match="triples, row 2: expected a string or a number as tail, got "):
            from_triples(frame)
    with pytest.raises(DataError, match="expected columns for head, relation and tail, found a, b; add a column"):
        from_triples(_frame(a=["x"], b=["y"]))
    twice = pandas.DataFrame([["x", "r", "y"]], columns=["a", "a", "b"])
    with pytest.raises(DataError, match="two columns have one name, found a, a, b"):
        from_triples(twice)


def test_one_split_without_the_other() -> None:
    with pytest.raises(DataError, match="triples: test came without valid; give both"):
        from_triples(TRIPLES, test=TRIPLES)
    with pytest.raises(DataError, match="triples: valid came without test; give both"):
        from_triples(TRIPLES, TRIPLES)
    with pytest.raises(DataError, match="triples, test, row 1: expected 3 fields"):
        from_triples(TRIPLES, [], [()])


def test_to_pandas_and_back() -> None:
    pandas = pytest.importorskip("pandas")
    graph = kge_data.load("nations")
    frame = graph.to_pandas("valid")
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["head", "relation", "tail"]
    assert tuple(frame.iloc[0]) == _labels(graph, "valid")[0]
    parts = [graph.to_pandas(split) for split in ("train", "valid", "test")]
    assert from_triples(*parts).checksum == graph.checksum
    empty = from_triples(TRIPLES, [], []).to_pandas("test")
    assert (list(empty.columns), len(empty)) == (["head", "relation", "tail"], 0)
    with pytest.raises(DataError, match="expected the split train, valid or test, got 'dev'"):
        graph.to_pandas("dev")


def test_to_pandas_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(DataError, match="needs the package pandas; `pip install pandas`"):
        from_triples(TRIPLES, [], []).to_pandas()


def test_counts_for_people() -> None:
    graph = from_triples(TRIPLES, TRIPLES, [], name="a<b")
    assert repr(graph) == "TripleSet('a<b': 3 entities, 2 relations, 3 train / 3 valid / 0 test triples)"
    html = graph._repr_html_()
    assert "a&lt;b" in html
    assert re.findall(r"<th>(.*?)</th><td>(.*?)</td>", html) == [
        ("entities", "3"),
        ("relations", "2"),
        ("train triples", "3"),
        ("valid triples", "3"),
        ("test triples", "0"),
    ]
