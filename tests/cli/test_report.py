"""`mulde report`: one page for a whole run, single models, bundles, or several of them."""

from __future__ import annotations

import html
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mulde.files import read_json, write_json
from tests.cli.conftest import Command
from tests.cli.test_run import stages


class Page(HTMLParser):
    """Collects what a page loads, its headings, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.headings: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        self.loaded += [tag] if tag in ("script", "link", "iframe", "img") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def written(command: Command, out: Path, *words: str | Path, facts: int = 0) -> str:
    output = command("report", *words, "--out", out, "--queries", "3", "--facts", str(facts))
    assert output.code == 0 and re.fullmatch(r"(mulde: computing latency, [^\n]* entities\n)?", output.err), output.err
    assert str(out) in output.out
    return out.read_text(encoding="utf-8")


def test_a_page_that_another_process_has_written_is_kept(
    model: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written_meanwhile(*_: object) -> str:
        (tmp_path / "page.html").write_text("theirs")
        return "ours"

    monkeypatch.setattr("mulde.report.page.page", written_meanwhile)
    words = ["report", model, "--out", tmp_path / "page.html", "--queries", "0", "--facts", "0"]
    output = command(*words)
    assert (output.code, (tmp_path / "page.html").read_text()) == (2, "theirs")
    assert "page.html: exists already" in output.err
    assert command(*words, "--overwrite").code == 0
    assert (tmp_path / "page.html").read_text() == "ours"


def test_a_whole_run(whole_run: Path, command: Command, tmp_path: Path) -> None:
    text = written(command, tmp_path / "page.html", whole_run, facts=3)
    page = Page(text)
    assert page.loaded == [] and page.open == [] and "@import" not in text and "url(" not in text
    assert page.headings == [
        "Verdict", "All models", "Likeliest missing facts", "Worst failures", "MRR of the models",
        "Quality against size and latency", "Training", "Loss terms of Junior", "Kinds of relations", "Relations",
        "Weight of each teacher by relation", "Curvature of Junior", "Entities in the Poincaré disk",
        "Evaluation protocol",
    ]  # fmt: skip
    for stage in stages(whole_run):
        test = read_json(stage / "test.json")
        assert f'data-name="MRR with graph prior">{test["realistic"]["mrr"]:.4f}</td>' in text
        assert f'data-name="MRR">{test["embeddings_only"]["mrr"]:.4f}</td>' in text
    assert text.count("<figcaption>") == 9 and "principal axes" in text
    assert text.count('<div class="legend"><b>') == text.count('<ul class="keys">')  # every legend has a title
    rows = re.findall(
        r"<tr( class=.distilled.)?><td [^>]*>([^<]*)</td>", text.split("All models")[1].split("</table>")[0]
    )
    names, marked = [name for _, name in rows], [name for mark, name in rows if mark]
    assert marked == ["Junior"] and set(names) >= {"teacher roth", "baseline"}
    mrrs = [float(mrr) for mrr in re.findall(r'data-name="MRR">([.0-9]+)</td>', text)]
    assert len(mrrs) == len(names) and mrrs == sorted(mrrs, reverse=True)


def test_without_latency(whole_run: Path, command: Command, tmp_path: Path) -> None:
    assert command("report", whole_run, "--out", tmp_path / "page.html", "--queries", "0", "--facts", "0").code == 0
    text = (tmp_path / "page.html").read_text()
    assert "time for one query" not in text
    assert " Latency was not measured." in text and "these folders hold no weights" not in text


def test_single_folders_compared(whole_run: Path, command: Command, tmp_path: Path) -> None:
    teacher = next(whole_run.glob("teachers/roth-*"))
    text = written(command, tmp_path / "page.html", teacher, whole_run / "junior")
    assert "nations: comparison of 2 runs" in text
    curved = [heading for heading in Page(text).headings if heading.startswith("Curvature")]
    assert curved == [f"Curvature of {teacher.name}", "Curvature of junior"]
    assert f">{teacher.name}</td>" in text and ">junior</td>" in text
    page = Page(written(command, tmp_path / "one.html", whole_run / "baseline"))
    assert not any("Senior" in heading for heading in page.headings)
    assert "Entities in the Poincaré disk" in page.headings


def test_the_method_of_a_junior(whole_run: Path, command: Command, tmp_path: Path) -> None:
    """A user's method: its own loss terms, no Senior, no soft labels."""
    assert "through a Senior" in written(command, tmp_path / "mulde.html", whole_run)
    shutil.copytree(whole_run, tmp_path / "run")
    settings = tmp_path / "run/settings.yaml"
    settings.write_text(re.sub("^method: .*", "method: my_own_method.py", settings.read_text(), flags=re.MULTILINE))
    log = tmp_path / "run/junior/fit/log.jsonl"
    log.write_text(log.read_text().replace("junior/soft", "junior/order").replace("attention/", "valid/"))
    for name in ("senior.safetensors", "senior.json"):
        (tmp_path / "run/junior" / name).unlink()
    text = written(command, tmp_path / "own.html", tmp_path / "run")
    assert "through a Senior" not in text and "soft labels" not in text and "No Senior was kept" not in text
    assert 'aria-label="junior/order"' in text and "junior/hard: the Junior&#39;s loss on the training triples" in text
    assert 'aria-label="lr/' not in text and 'aria-label="valid/' not in text


def test_the_verdict_comes_first(whole_run: Path, command: Command, tmp_path: Path) -> None:
    """Of a run that has one; an older run has none, and its Junior is the main model."""
    for name in ("settings.yaml", "summary.json"):
        shutil.copy(whole_run / name, tmp_path / name)
    for name in ("junior", "baseline", "teachers"):
        shutil.copytree(whole_run / name, tmp_path / name)
    summary = read_json(tmp_path / "summary.json")
    summary = {name: value for name, value in summary.items() if name not in ("verdict", "recommended")}
    write_json(tmp_path / "summary.json", summary)
    text = written(command, tmp_path / "old.html", tmp_path)
    assert "Verdict" not in text and "test MRR of Junior, embeddings only" in text
    assert re.search(r"\d % of teacher roth \([\d.]+ kB\), the best teacher</div>", text)

    figures = {"folder": "baseline", "dim": 4, "bytes": 3210, "valid_mrr": 0.91234, "test_mrr": 0.81234}
    best, small = {"model": "teacher roth", **figures, "valid_mrr": 0.92}, {"model": "baseline", **figures}
    predict = "mulde predict runs/a --head '<b>Tom & \"Jerry\"</b>' --relation r"
    verdict = {
        "best": best, "recommended": small, "small": small, "gain": {"test_mrr": -0.01, "interval_95": [-0.03, 0.01]},
        "try_dim": 8, "commands": {"predict": predict, "try": "mulde run --dim 8"},
    }  # fmt: skip
    write_json(tmp_path / "summary.json", {**summary, "recommended": "baseline", "verdict": verdict})
    text = written(command, tmp_path / "new.html", tmp_path)
    assert Page(text).headings[0] == "Verdict" and "test MRR of baseline, embeddings only" in text
    assert "Use baseline (4 dimensions, 3.21 kB). It is the smallest model whose validation MRR is within 2 %" in text
    assert "Distillation did not help measurably: -0.0100 test MRR against the baseline, 95 % interval -0.0300" in text
    commands = re.findall(r'<pre class="command"><code>(.*?)</code></pre>', text)
    assert [html.unescape(it) for it in commands] == [predict, "mulde run --dim 8"] and "<b>Tom" not in text


def test_a_bundle(command: Command, tmp_path: Path) -> None:
    text = written(command, tmp_path / "page.html", "umls-8", facts=3)
    assert "<h1>umls: umls-8.zip</h1>" in text and 'data-name="MRR">0.8613</td>' in text
    assert {"Likeliest missing facts", "Worst failures", "Relations"} <= set(Page(text).headings)


def test_a_run_that_stopped_before_its_end(whole_run: Path, command: Command, tmp_path: Path) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    for name in ("test.json", "senior.json", "ensemble.json", "senior.safetensors", "model.safetensors", "model.json"):
        (tmp_path / "run/junior" / name).unlink()
    text = written(command, tmp_path / "page.html", tmp_path / "run")
    assert "Not evaluated on the test split: Junior" in text


def test_types_colour_the_disk(whole_run: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "types.tsv").write_text("usa\tbig\nussr\tbig\ncuba\tisland\n")
    text = written(command, tmp_path / "page.html", whole_run, "--types", tmp_path / "types.tsv")
    assert len(re.findall(r'class="dot c0"><title>', text)) == 4  # two entities in two disks
    assert "island" in text


def test_nothing_is_overwritten_without_the_option(whole_run: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("mine")
    output = command("report", whole_run, "--out", out)
    assert (output.code, output.err) == (2, f"mulde: {out} exists; name another --out, or add --overwrite\n")
    assert out.read_text() == "mine"
    written(command, out, whole_run, "--overwrite")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "mulde report needs RUN [RUN ...]: Run folder"),
        (["nowhere"], "mulde: nowhere: no such folder; expected a run folder of `mulde run`, `train` or `distil`"),
        (["{empty}"], "expected a run folder with fit/config.json, found none; pass a folder of a run"),
        (["{run}", "{run}"], "the same run is given twice; give each once"),
        (["{run}", "--queries", "-1"], "--queries: should be a whole number of at least 0, got -1"),
        (["{run}", "--data", "kinships"], "trained on another list of names|does not have the triples"),
        (["{run}", "--out", "no/such/page.html"], "there is no folder no/such; make it, or name another --out"),
    ],
)
def test_bad_input(
    words: list[str], sentence: str, whole_run: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    output = command("report", *(word.format(empty=tmp_path / "empty", run=whole_run) for word in words))
    assert output.code == 2 and output.out == ""
    assert re.search(sentence if "|" in sentence else re.escape(sentence), output.err)


def test_runs_on_different_graphs_are_refused(whole_run: Path, command: Command, tmp_path: Path) -> None:
    shutil.copytree(whole_run / "baseline", tmp_path / "other")
    report = read_json(tmp_path / "other/test.json")
    write_json(tmp_path / "other/test.json", report | {"checksum": "sha256:" + 64 * "0", "data": "elsewhere"})
    output = command("report", whole_run, tmp_path / "other", "--out", tmp_path / "page.html")
    assert output.code == 2
    assert "were evaluated on different graphs (elsewhere, nations), and their figures cannot be compared" in output.err
    (tmp_path / "other/test.json").write_text("{")
    output = command("report", tmp_path / "other", "--out", tmp_path / "page.html")
    assert output.code == 2 and "the file is damaged" in output.err
