"""The whole main job: train teachers, distil them into a small Junior, evaluate, and answer a first query.

    mulde run --data umls
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kge_data
from mulde import config, process
from mulde.catalogue import find, note
from mulde.cli._output import announce, show
from mulde.errors import UsageError
from mulde.kge import stages
from mulde.kge.mulde import MulDE
from mulde.kge.prediction import predict
from mulde.kge.presets import PresetName, defaults
from mulde.kge.saved import describe, scorer_name, write_atomically
from mulde.report import circumstances, table
from mulde.scorers.model import ModelConfig


@dataclass(frozen=True)
class Config(stages.DistilConfig):
    """Options of the Junior; those of the teachers begin with --teacher."""

    data: str = "umls"
    """A graph by name (`mulde list data`), or the path of a folder or file."""
    teachers: tuple[str, ...] = ("hyperbolic_transe", "disth", "roth", "refh")
    """Scoring function of a teacher; give the option once per teacher. The default is the paper's panel."""
    teacher_dim: int = 64
    """Dimension of the teachers."""
    teacher_epochs: int | None = None
    """Passes over the training triples for each teacher; by default as many as the Junior's."""
    junior: str = "roth"
    """Scoring function of the Junior."""
    control: bool = True
    """Also train the same Junior without teachers, with the same settings, to see what they are worth."""
    out: Path | None = None
    """Run folder; by default runs/<data>/run."""
    preset: PresetName = "recommended"
    """Where options that are not given take their values: recommended for this graph, or as in kgemb or the paper."""
    threads: int | None = None
    """Processor threads; by default all."""
    json: bool = False
    """Print the summary as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = config.parse(Config, argv, "mulde run", __doc__ or "", defaults)
    if not settings.teachers:
        raise UsageError("run needs at least one teacher; got none; pass --teachers NAME for each")
    process.start(settings.threads)
    teachers = [scorer_name(find("scorers", name)) for name in settings.teachers]
    junior = scorer_name(find("scorers", settings.junior))
    for remark in filter(None, (note("scorers", name) for name in settings.teachers)):
        announce(remark)
    graph = kge_data.load(settings.data)
    folder = settings.out or Path("runs") / graph.name / "run"
    known = stages.known_answers(graph)
    budget = _Budget(settings.budget, shares=len(teachers) + 2 + settings.control)
    announce(f"{graph!r}")
    rows: list[dict[str, Any]] = []

    shape = stages.part(ModelConfig, settings)
    fit = stages.part(stages.FitConfig, settings)
    teacher_fit = replace(fit, epochs=settings.teacher_epochs or fit.epochs)
    folders = [folder / "teachers" / name for name in teachers]
    for name, place in zip(teachers, folders, strict=True):
        announce(f"teacher {name}, {settings.teacher_dim} dimensions")
        outcome = stages.train(
            name, graph, budget.limit(teacher_fit), replace(shape, dim=settings.teacher_dim), place,
            source=settings.data, known=known,
        )  # fmt: skip
        rows.append(_row(f"teacher {name}", outcome, stages.judge(outcome.model, graph, place, "test", known)))

    if settings.control:
        announce(f"Junior {junior}, {settings.dim} dimensions, without teachers")
        outcome = stages.train(junior, graph, budget.limit(fit), shape, folder / "alone", source=settings.data, known=known)
        alone = stages.judge(outcome.model, graph, outcome.folder, "test", known)
        rows.append(_row("Junior alone", outcome, alone))

    announce(f"Junior {junior}, {settings.dim} dimensions, taught by {', '.join(teachers)}")
    distillation = replace(stages.part(stages.DistilConfig, settings), budget=budget.limit(fit, shares=2).budget)
    outcome = stages.distil(junior, folders, graph, distillation, folder / "junior", source=settings.data, known=known)
    if isinstance(outcome.method, MulDE):
        senior = stages.judge(outcome.method.senior_ranker(), graph, outcome.folder, "test", known, name="senior")
        rows.append({"model": "Senior (all teachers)", **_metrics(senior)})
    ensemble = stages.judge(outcome.method.panel, graph, outcome.folder, "test", known, name="ensemble")
    rows.append({"model": "plain sum of teachers", **_metrics(ensemble)})
    report = stages.judge(outcome.model, graph, outcome.folder, "test", known)
    rows.append(_row("Junior (MulDE)" if settings.method == "mulde" else "Junior", outcome, report))

    config.write(settings, folder / "settings.yaml")
    summary = {
        "data": {"name": graph.name, "checksum": graph.checksum},
        "settings": config.to_dict(settings),
        "rows": rows,
        "mrr_interval_95": {"junior": report["mrr_interval_95"]},
        **circumstances(),
    }
    write_atomically(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False).encode())
    title = f"{graph.name}: test split ({len(graph.test):,} triples), filtered, both directions, realistic ranks"
    write_atomically(folder / "summary.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    return show(summary, f"{title}\n{table(rows)}\n\n{_example(outcome.model, graph)}\n\nrun folder: {folder}", settings.json)


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


def _row(name: str, outcome: stages.Outcome, report: dict[str, Any]) -> dict[str, Any]:
    description = describe(outcome.folder)
    size = (outcome.folder / "model.safetensors").stat().st_size / 1e6
    return {
        "model": name, "dim": description["model"]["dim"], "parameters": description["parameters"], "MB": round(size, 2),
        **_metrics(report), "best epoch": outcome.record.best_epoch, "seconds": round(outcome.record.seconds),
    }  # fmt: skip


def _metrics(report: dict[str, Any]) -> dict[str, float]:
    return {name.upper() if name == "mrr" else name: report["realistic"][name] for name in ("mrr", "hits@1", "hits@3", "hits@10")}


def _example(model: Any, graph: kge_data.TripleSet) -> str:
    head, relation, tail = graph.test[0]
    names = {"head": graph.entities[head], "relation": graph.relations[relation]}
    answers = predict(model, graph, top=5, **names)
    rows = [{"rank": a.rank, "answer": a.label, "score": a.score, "known": a.known_in or "new"} for a in answers]
    question = f"({graph.entity_label(head)}, {graph.relation_label(relation)}, ?)"
    return f"{question}   a test triple; its tail is {graph.entity_label(tail)}\n{table(rows)}"
