"""`mulde.run`, `train` and `distil` from Python: options, signatures, results."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import pytest

import kge_data
import mulde
from mulde.config import hints_of
from mulde.errors import UsageError
from mulde.kge.methods.mulde import Config
from mulde.kge.options import Teachers
from mulde.kge.training import keywords, supervised
from mulde.kge.training.method_file import names, open_method

TINY = {"dim": 4, "epochs": 1, "eval_every": 1, "negatives": 2}


def test_keywords_are_the_options() -> None:
    """The typed options are those of the Configs; a method may have further ones."""
    written = {
        kind: set(typing.get_type_hints(kind))
        for kind in (keywords.TrainOptions, keywords.DistilOptions, keywords.RunOptions, keywords.TuneOptions)
    }
    every = {name for method in names() for name in hints_of(open_method(method).Config)} - {"junior"}
    assert written[keywords.TrainOptions] == set(hints_of(supervised.Config))
    assert set(hints_of(Config)) - {"junior"} <= written[keywords.DistilOptions] <= every
    assert written[keywords.TuneOptions] == written[keywords.TrainOptions] | written[keywords.DistilOptions]
    assert written[keywords.RunOptions] == written[keywords.DistilOptions] | {"relation_weight"} | set(
        hints_of(Teachers)
    ) - {"teacher"}


@pytest.mark.parametrize("function", [mulde.train, mulde.distil, mulde.run, mulde.tune])
def test_signatures_show_every_option(function: object) -> None:
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    assert {"dim", "epochs", "lr", "budget"} <= set(parameters)
    assert not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    assert parameters["dim"].default == 32


def test_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    messages: list[mulde.api.Progress] = []
    result = mulde.run(
        "nations", teachers=["DistE"], junior="RotE", teacher_dim=2, seed=3, progress=messages.append, **TINY
    )
    assert [row["model"] for row in result.rows] == [
        "teacher diste",
        "baseline",
        "Senior",
        "teacher ensemble",
        "Junior",
    ]
    assert result.folder.parent == Path("runs/nations") and result.folder.name.startswith("rote-4-")
    assert set(result.teachers) == {"diste"} and result.baseline is not None
    assert {message.stage for message in messages} == {"estimate", "teacher diste", "baseline", "Junior"}
    assert any("valid/mrr" in message.metrics and not message.text for message in messages)
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and frame.loc["Junior", "MRR"] == result.rows[-1]["MRR"]
    assert str(result.verdict) in repr(result) and result.summary["verdict"] == result.verdict.as_dict()
    models = [*result.teachers.values(), result.baseline, result.junior]
    assert result.model is models[[*result.folders].index(result.verdict.recommended.model)]
    for embeddings_only in (True, False):  # models are selected by the embeddings only, as the verdict compares them
        valid = mulde.evaluate(result.junior, "nations", "valid", embeddings_only=embeddings_only).metrics()["mrr"]
        assert (valid == result.records["Junior"].best_metrics["valid/mrr"]) == embeddings_only
    assert "Junior" in repr(result) and result._repr_html_().count("<tr>") == 6
    again = mulde.run("nations", teachers=["diste"], junior="rote", teacher_dim=2, seed=3, **TINY)
    assert all(record.reused for record in again.records.values())


def test_a_callback_can_end_a_run(tmp_path: Path) -> None:
    def stop(progress: mulde.api.Progress) -> None:
        if progress.metrics:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mulde.run("nations", folder=tmp_path, progress=stop, **TINY)
    assert not (tmp_path / "summary.json").exists()


def test_one_teacher_and_names(tmp_path: Path) -> None:
    """A graph by name, a teacher that is not in a list, a scorer in capitals."""
    teacher = mulde.train("DistE", "nations", **TINY)
    junior = mulde.distil("ROTE", teacher, "nations", method="average", budget="5m", **TINY)
    graph = kge_data.load("nations")
    assert mulde.evaluate(junior, "nations").metrics() == mulde.evaluate(junior, graph).metrics()
    assert mulde.predict(junior, "nations", head="uk", relation="embassy", top=3)


def test_wrong_inputs_are_sentences() -> None:
    with pytest.raises(UsageError, match="expected a graph, its name, a path, or triples, got int; make a graph"):
        mulde.train("roth", 5)
    with pytest.raises(UsageError, match="teachers should be models, paths or names; got 3"):
        mulde.distil("roth", 3, "nations")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match='no scorer called "rothh"'):
        mulde.run("nations", teachers="rothh")
    whole = kge_data.from_triples([("a", "r", "b"), ("b", "r", "a")], valid=[], test=[], name="whole")
    with pytest.raises(UsageError, match="whole has no valid triples, which training needs"):
        mulde.train("rote", whole, dim=2, epochs=1)
