"""The whole job: train teachers, distil a small Junior, evaluate, predict.

Examples:
    mulde run --data umls
    mulde run --data my-graph.tsv --teacher roth --teacher atth --budget 30m

A run that was stopped continues when the same command is given again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kge_data.tripleset import TripleSet
from mulde import config
from mulde.cli._options import parse
from mulde.cli._output import announce, show
from mulde.cli._record import record
from mulde.cli._stage import Common, begin, fitted, judged, scorer_called
from mulde.errors import UsageError
from mulde.files import write_atomically
from mulde.kge import stages
from mulde.kge.mulde import MulDE
from mulde.kge.prediction import predict, question
from mulde.kge.presets import defaults
from mulde.kge.saved import describe
from mulde.report import answers_table, circumstances, table
from mulde.scorers.model import KGEModel, ModelConfig

SHOWN = ("model", "dim", "kB", "MRR", "hits@1", "hits@3", "hits@10", "seconds")  # 80 columns; files hold all


@dataclass(frozen=True)
class Config(Common, stages.DistilConfig):
    """Who teaches whom; the options further down hold for Junior and teachers."""

    teacher: tuple[str, ...] = ("hyperbolic_transe", "disth", "roth", "refh")
    """Scoring function of a teacher; give the option once per teacher. The default is the paper's panel."""
    teacher_dim: int = 64
    """Dimension of the teachers."""
    teacher_epochs: int | None = None
    """Passes over the training triples for each teacher; by default as many as the Junior's."""
    junior: str = "roth"
    """Scoring function of the Junior."""
    control: bool = True
    """Also train the same Junior without teachers, with the same settings, to see what they are worth."""
    record: Path | None = None
    """Copy the small files of the finished run (results, settings, logs; no weights) to this folder."""
    overwrite: bool = False
    """Let --record replace files that differ."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde run", __doc__ or "", defaults)
    if not settings.teacher:
        raise UsageError("run needs at least one teacher; got none; pass --teacher NAME for each")
    if settings.method.endswith(".py"):
        raise UsageError(
            "run takes a method by name; give your file to `mulde distil`, with the teachers that run made"
        )
    shape, fit = stages.part(ModelConfig, settings), stages.part(stages.FitConfig, settings)
    teachers = [scorer_called(name, replace(shape, dim=settings.teacher_dim)) for name in settings.teacher]
    junior = scorer_called(settings.junior, shape)
    budget = _Budget(settings.budget, shares=len(teachers) + 2 + settings.control)
    graph, known = begin(settings)
    folder = settings.out or Path("runs") / graph.name / "run"
    rows: list[dict[str, Any]] = []

    def train(title: str, name: str, fit: stages.FitConfig, shape: ModelConfig, place: Path) -> None:
        limited = budget.limit(fit)
        outcome = fitted(
            title,
            place,
            lambda place: stages.train(name, graph, limited, shape, place, source=settings.data, known=known),
        )
        rows.append(_row(title.partition(",")[0], outcome, place, judged(outcome, graph, place, known)))

    places = [folder / "teachers" / name for name in teachers]
    teacher_fit = replace(fit, epochs=settings.teacher_epochs or fit.epochs)
    teacher_shape = replace(shape, dim=settings.teacher_dim)
    for name, place in zip(teachers, places, strict=True):
        train(f"teacher {name}, {teacher_shape.dim} dimensions", name, teacher_fit, teacher_shape, place)
    if settings.control:
        train(f"Junior alone, {junior}, {shape.dim} dimensions", junior, fit, shape, folder / "alone")

    place = folder / "junior"
    distillation = replace(stages.part(stages.DistilConfig, settings), budget=budget.limit(fit, shares=2).budget)
    outcome = fitted(
        f"Junior {junior}, {shape.dim} dimensions, taught by {', '.join(teachers)}",
        place,
        lambda place: stages.distil(junior, places, graph, distillation, place, source=settings.data, known=known),
    )
    if isinstance(outcome.method, MulDE):
        senior = stages.judge(outcome.method.senior_ranker(), graph, place, "test", known, name="senior")
        rows.append({"model": "Senior (all teachers)", **_metrics(senior)})
        ensemble = stages.judge(outcome.method.panel, graph, place, "test", known, name="ensemble")
        rows.append({"model": "plain sum of teachers", **_metrics(ensemble)})
    report = judged(outcome, graph, place, known)
    rows.append(_row("Junior (MulDE)" if settings.method == "mulde" else "Junior", outcome, place, report))

    kept = replace(settings, json=False, record=None, overwrite=False)  # what made the result, not where it is copied
    config.write(kept, folder / "settings.yaml")
    summary = {
        "data": {"name": graph.name, "checksum": graph.checksum},
        "settings": config.to_dict(kept),
        "rows": rows,
        "mrr_interval_95": {"junior": report["mrr_interval_95"]},
        **circumstances(),
    }
    write_atomically(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False).encode())
    title = f"{graph.name}, test split ({len(graph.test):,} triples), filtered, both directions, realistic ranks"
    write_atomically(folder / "summary.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    if settings.record:
        record(folder, settings.record, settings.overwrite)
        announce(f"recorded in {settings.record}")
    sizes = [{"kB": round(1000 * row["MB"])} if "MB" in row else {} for row in rows]
    narrow = [{name: (row | size).get(name) for name in SHOWN} for row, size in zip(rows, sizes, strict=True)]
    text = f"{title}\n{table(narrow)}\n\n{_example(outcome.model, graph)}\n\nrun folder: {folder}"
    return show(summary, text, settings.json)


class _Budget:
    """Shares the time that is left among the stages that are left; the Junior's counts twice."""

    def __init__(self, duration: str | None, shares: int):
        self.left = shares
        self.end = None if duration is None else time.monotonic() + stages.seconds(duration)

    def limit(self, fit: stages.FitConfig, shares: int = 1) -> stages.FitConfig:
        """The settings of the next stage, which takes this many shares."""
        if self.end is None:
            return fit
        share = shares / self.left
        self.left -= shares
        return replace(fit, budget=f"{max(1.0, (self.end - time.monotonic()) * share):.0f}s")


def _row(name: str, outcome: stages.Outcome, folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    description = describe(folder)
    size = (folder / "model.safetensors").stat().st_size / 1e6
    return {
        "model": name,
        "dim": description["model"]["dim"],
        "parameters": description["parameters"],
        "MB": round(size, 3),
        **_metrics(report),
        "best epoch": outcome.record.best_epoch,
        "seconds": round(outcome.record.seconds),
    }


def _metrics(report: dict[str, Any]) -> dict[str, float]:
    realistic = report["realistic"]
    return {"MRR": realistic["mrr"], **{name: realistic[name] for name in ("hits@1", "hits@3", "hits@10")}}


def _example(model: KGEModel, graph: TripleSet) -> str:
    head, relation, tail = graph.test[0]
    asked, link = graph.entities[head], graph.relations[relation]
    told = f"{question(graph, link, asked)}   a test triple; its tail is {graph.entity_label(tail)}"
    return f"{told}\n{answers_table(predict(model, graph, relation=link, head=asked, top=5))}"
