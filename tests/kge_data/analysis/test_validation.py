from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import kge_data
from kge_data.__main__ import main
from kge_data.analysis.leaks import count_leaks, related_relations
from kge_data.analysis.validation import format_validation, validate
from kge_data.keys import Ids

PAIRS = [(f"e{number}", f"e{number + 1}") for number in range(0, 40, 2)]


def _graph(**splits: list[tuple[str, str, str]]) -> kge_data.TripleSet:
    return kge_data.from_triples(splits["train"], splits.get("valid", []), splits.get("test", []))


def test_a_graph_in_order() -> None:
    report = validate(kge_data.load("umls"))
    assert report.problems == []
    assert report.splits["train"].triples == 5216
    assert sum(report.cardinality.values()) == 46
    assert report.shared == {"train/valid": 0, "train/test": 0, "valid/test": 0}
    assert {(pair["first"], pair["kind"]) for pair in report.related} == {
        ("degree_of", "symmetric"),
        ("precedes", "symmetric"),
    }
    assert format_validation(report).endswith("no problem found")


def test_repetitions_and_shared_triples() -> None:
    fact = ("a", "r", "b")
    report = validate(_graph(train=[fact, fact, ("b", "r", "c")], valid=[fact, fact], test=[("b", "r", "c")]))
    assert report.splits["train"].duplicates == 1
    assert report.shared == {"train/valid": 1, "train/test": 1, "valid/test": 0}
    assert report.problems == [
        "train contains 1 repeated triples; remove the repetitions.",
        "valid contains 1 repeated triples; remove the repetitions.",
        "1 triples are in both train and valid; keep each in one.",
        "1 triples are in both train and test; keep each in one.",
    ]


def test_entities_and_relations_that_are_not_in_train() -> None:
    report = validate(_graph(train=[("a", "r", "b")], valid=[("a", "r", "x")], test=[("y", "s", "z"), ("b", "r", "a")]))
    valid, test = report.splits["valid"], report.splits["test"]
    assert (valid.unseen_entities, valid.unseen_relations, valid.with_unseen) == (1, 0, 1)
    assert (test.unseen_entities, test.unseen_relations, test.with_unseen) == (2, 1, 1)
    assert report.problems == ["test contains 1 relations that are not in train; add triples of them to train."]


def test_leaks_through_an_inverse_relation() -> None:
    part_of = [(one, "part of", other) for one, other in PAIRS]
    has_part = [(other, "has part", one) for one, other in PAIRS]
    report = validate(
        _graph(train=part_of[:-1] + has_part[:-2], valid=has_part[-2:-1], test=[part_of[-1], has_part[-1]])
    )
    assert report.related == [{"first": "has part", "second": "part of", "kind": "inverse", "overlap": 1.0}]
    assert (report.splits["valid"].inverse, report.splits["test"].inverse) == (1, 0)
    assert report.problems == [
        "100.0% of valid can be copied from train through near-inverse relations; drop one relation of each "
        "such pair, or split by entity pairs."
    ]


def test_leaks_through_a_duplicate_and_a_symmetric_relation() -> None:
    likes = [(one, "likes", other) for one, other in PAIRS]
    loves = [(one, "loves", other) for one, other in PAIRS[:-2]]
    married = [(one, "married", other) for one, other in PAIRS] + [(other, "married", one) for one, other in PAIRS]
    report = validate(_graph(train=likes + loves[1:] + married[1:], valid=loves[:1], test=married[:1]))
    assert report.related == [
        {"first": "married", "second": "married", "kind": "symmetric", "overlap": 1.0},
        {"first": "likes", "second": "loves", "kind": "duplicate", "overlap": 0.9},
    ]
    assert (report.splits["valid"].duplicate, report.splits["test"].symmetric) == (1, 1)
    assert len(report.problems) == 1
    assert validate(_graph(train=likes + loves), threshold=0.95).related == []


Triple = tuple[int, int, int]
TRIPLES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=40)


def _array(triples: list[Triple]) -> Ids:
    return np.array(triples, dtype=np.int64).reshape(-1, 3)


@given(TRIPLES, st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_related_relations_agree_with_sets(triples: list[tuple[int, int, int]], threshold: float) -> None:
    pairs: dict[int, set[tuple[int, int]]] = {}
    for head, relation, tail in triples:
        pairs.setdefault(relation, set()).add((head, tail))
    expected = set()
    for one in pairs:
        for other in pairs:
            size = max(len(pairs[one]), len(pairs[other]))
            if one < other and len(pairs[one] & pairs[other]) >= threshold * size:
                expected.add((one, other, False))
            if one <= other and len(pairs[one] & {(t, h) for h, t in pairs[other]}) >= threshold * size:
                expected.add((one, other, True))
    found = related_relations(_array(triples), threshold)
    assert {(pair.first, pair.second, pair.inverse) for pair in found} == expected


@settings(deadline=None)
@given(TRIPLES, TRIPLES, st.sampled_from([0.2, 0.8]))
@example([(0, 0, 1), (2, 0, 3), (4, 0, 5)], [(1, 0, 0)], 0.8)  # a relation that is far from symmetric
def test_leaks_agree_with_a_plain_loop(train: list[Triple], test: list[Triple], threshold: float) -> None:
    pairs = related_relations(_array(train + test), threshold)
    partners = [
        (a, b, pair.inverse) for pair in pairs for a, b in {(pair.first, pair.second), (pair.second, pair.first)}
    ]
    symmetric = inverse = duplicate = 0
    for head, relation, tail in test:
        symmetric += (tail, relation, head) in train
        others = {(other, swapped) for own, other, swapped in partners if own == relation and other != own}
        inverse += any((tail, other, head) in train for other, swapped in others if swapped)
        duplicate += any((head, other, tail) in train for other, swapped in others if not swapped)
    found = count_leaks(_array(test), _array(train), pairs)
    assert found == {"symmetric": symmetric, "inverse": inverse, "duplicate": duplicate}


def test_swapped_triples_of_umls() -> None:
    report = validate(kge_data.load("umls"))
    assert [report.splits[name].symmetric for name in ("train", "valid", "test")] == [0, 81, 97]


def test_the_command_line_and_its_exit_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder)]) == 0
    assert "people: 3 entities, 2 relations" in capsys.readouterr().out
    assert main(["check", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["train"]["triples"] == 4
    (folder / "test.txt").write_text((folder / "train.txt").read_text())
    assert main(["check", str(folder)]) == 1
    assert "PROBLEM: 4 triples are in both train and test" in capsys.readouterr().out
    (folder / "test.txt").write_text("anna knows bert\n")
    assert main(["check", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"kge_data: {folder}/test.txt, line 1: expected 3 tab-separated fields")


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == kge_data.names()
    assert main(["list", "--json"]) == 0
    assert [record["name"] for record in json.loads(capsys.readouterr().out)] == kge_data.names()


@pytest.mark.parametrize("arguments", [[], ["check"], ["check", "umls", "--threshold", "2"], ["chekc", "umls"]])
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_reader_that_stops_early_sees_no_traceback() -> None:
    command = [sys.executable, "-m", "kge_data", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_as_a_program() -> None:
    command = [sys.executable, "-m", "kge_data", "check", "no-such-graph"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith('kge_data: no graph is called "no-such-graph"')
    assert "Traceback" not in answer.stderr


@given(TRIPLES)
def test_relations_with_equal_pairs_are_found_where_many_share_a_pair(triples: list[tuple[int, int, int]]) -> None:
    array = np.array(triples, dtype=np.int64).reshape(-1, 3)
    with pytest.MonkeyPatch.context() as patch:
        complete = {(pair.first, pair.second, pair.inverse) for pair in related_relations(array, 1.0)}
        patch.setattr("kge_data.analysis.leaks.MANY", 1)
        patch.setattr("kge_data.analysis.leaks.NEAR", 1)
        found = {(pair.first, pair.second, pair.inverse) for pair in related_relations(array, 1.0)}
    assert found <= complete
    duplicates = [{relation for pair in pairs if not pair[2] for relation in pair[:2]} for pairs in (found, complete)]
    assert duplicates[0] == duplicates[1]


def test_thousands_of_relations_with_one_pair_of_entities() -> None:
    count = 3000
    pairs = related_relations(np.array([(0, relation, 1) for relation in range(count)]))
    assert {relation for pair in pairs for relation in (pair.first, pair.second)} == set(range(count))
    assert len(pairs) < 20 * count
    report = validate(_graph(train=[("a", f"r{n}", "b") for n in range(count)], test=[("a", "r7", "b")]))
    assert report.splits["test"].duplicate == 1
