from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

import kge_data
from kge_data.__main__ import main
from kge_data.analysis.near_equal import NearEqual, near_equal, sentences
from kge_data.analysis.validation import format_validation, validate
from kge_data.labels import normal

FACTS = [(f"p{head:02}", "knows", f"p{(head * 7 + 1) % 10:02}") for head in range(10)]
FACTS += [(f"p{head:02}", "likes", f"p{(head * 3 + 2) % 10:02}") for head in range(10)]


def _write(folder: Path, form: str = "{}") -> Path:
    """A folder with every third tail, and every fifth relation, in another form."""
    folder.mkdir()
    for name, facts in (("train", FACTS[:16]), ("valid", FACTS[16:18]), ("test", FACTS[18:])):
        rows = [
            (h, form.format(r) if number % 5 == 0 else r, form.format(t) if number % 3 == 0 else t)
            for number, (h, r, t) in enumerate(facts)
        ]
        (folder / f"{name}.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (" a  b\t", "a b"),
        ("\u00a0a\u200b\ufeff", "a"),
        ('"a"', "a"),
        ("“a”", "a"),
        ("' a '", "a"),
        ("\"'a'\"", "a"),
        ('"a" and "b"', '"a" and "b"'),
        ("rock 'n' roll", "rock 'n' roll"),
        ('"', '"'),
        ('""', '""'),
        (" ", " "),
        ("e\u0301", "é"),
        ("A", "A"),
    ],
)
def test_the_normal_form(label: str, expected: str) -> None:
    assert normal(label) == expected


def test_groups_and_what_they_differ_in() -> None:
    long, short = (unicodedata.normalize(form, "é") for form in ("NFD", "NFC"))
    labels = ["a", " a", "b", '"c"', "c", "C ", short, long, "d", "D"]
    assert near_equal(labels, ["r", "R"]) == [
        NearEqual("entities", "blanks", (" a", "a")),
        NearEqual("entities", "blanks, quotes, case", ('"c"', "C ", "c")),
        NearEqual("entities", "case", ("D", "d")),
        NearEqual("entities", "Unicode form", (long, short)),
        NearEqual("relations", "case", ("R", "r")),
    ]
    assert sentences(near_equal(labels, ["r", "R"])) == [
        "7 entities differ only in blanks or quotes or case or Unicode form: ' a' | 'a'; '\"c\"' | 'C ' | 'c'; "
        f"{long!r} | {short!r}; merge them with --normalize (normalize=True in Python).",
        "2 entities and 2 relations differ only in case: 'D' | 'd'; 'R' | 'r'; if they mean the same, write them alike "
        "in the file.",
    ]
    assert sentences(near_equal(["a", "b"], [])) == []


@pytest.mark.parametrize("form", ["{} ", '"{}"', "\u200b{}"])
def test_near_equal_labels_are_reported_and_merged(tmp_path: Path, form: str) -> None:
    expected = kge_data.load(_write(tmp_path / "plain"))
    folder = _write(tmp_path / "other", form)
    graph = kge_data.load(folder)
    assert graph.reading is not None
    assert (graph.num_entities > 10, graph.num_relations) == (True, 4)
    (warning,) = graph.reading.warnings
    assert "differ only in" in warning
    assert warning in validate(graph).problems
    merged = kge_data.load(folder, normalize=True)
    assert merged.checksum == expected.checksum
    assert merged.reading is not None
    assert (merged.reading.warnings, merged.reading.options) == ((), {"normalize": True})
    fewer = graph.num_entities - 10
    assert merged.reading.lines[2] == (
        f"normalized {fewer + 2} labels: {fewer} fewer entities, 2 fewer relations; 0 triples became equal to others"
    )


def test_triples_that_become_equal_are_counted(tmp_path: Path) -> None:
    folder = _write(tmp_path / "other")
    with (folder / "train.tsv").open("a") as file:
        file.write("p00 \tknows\tp01\np00\tknows\t'p01'\n")
    graph = kge_data.load(folder, normalize=True)
    assert graph.reading is not None
    assert graph.reading.lines[2].endswith("; 2 triples became equal to others")
    assert "train contains 2 repeated triples; remove the repetitions." in validate(graph).problems


def test_readable_names_of_normalized_labels(tmp_path: Path) -> None:
    folder = _write(tmp_path / "named", "{} ")
    (folder / "entity2text.txt").write_text("p01 \tAnna\n")
    assert kge_data.load(folder, normalize=True).entity_text == {1: "Anna"}


def test_case_alone_is_not_a_problem() -> None:
    report = validate(kge_data.from_triples([("a", "r", "B"), ("b", "r", "A"), ("A", "r", "b")], [], []))
    assert report.problems == []
    assert "4 entities differ only in case: 'A' | 'a'; 'B' | 'b'; if they mean" in format_validation(report)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _write(tmp_path / "people", "{} ")
    assert main(["check", str(folder)]) == 1
    output = capsys.readouterr()
    assert " entities and 4 relations differ only in blanks: " in output.out
    assert output.err == (
        f"kge_data: read {folder}/train.tsv, valid.tsv, test.tsv: no header; head, relation and tail in this order\n"
        "kge_data: first triple: ('p00', 'knows ', 'p01 ')\n"
    )
    assert main(["check", str(folder), "--normalize", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["near_equal"] == []
    assert output.err.count("\n") == 3
    assert main(["check", str(folder), "--columns", "2,1,3"]) == 1
    assert "columns may be swapped; if so, pass --columns 1,2,3." in capsys.readouterr().err
