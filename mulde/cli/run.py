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
from mulde.cli._output import announce, show
from mulde.cli._stage import Common, begin, fitted, judged, scorer_called
from mulde.cli._summary import metrics, row, summarise, title
from mulde.config.command_line import parse
from mulde.errors import UsageError
from mulde.kge.evaluation.cache import cached_report
from mulde.kge.inference.query import predict
from mulde.kge.losses import predicts_relations
from mulde.kge.methods.mulde import MulDE
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.run_folder import find_scorer, open_model
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.training import stage
from mulde.kge.training.options import DistilConfig, FitConfig, part, seconds
from mulde.kge.training.parallel import side_by_side
from mulde.kge.training.presets import defaults
from mulde.report.tables import table

ANOTHER_SEED = 1000  # between the seeds of a repeated teacher, far from the seeds that people compare runs over
SHOWN = ("model", "dim", "kB", "MRR", "vectors", "hits@1", "hits@10", "seconds")  # 80 columns; files hold all


@dataclass(frozen=True)
class Config(Common, DistilConfig):
    """Who teaches whom; the options further down hold for Junior and teachers."""

    teacher: tuple[str, ...] = ("roth", "refh")
    """Scoring function of a teacher; give the option once per teacher. One that is repeated is trained again from
    another seed. The default is the better half of the paper's ensemble: the others are weak on most graphs, and then
    pull a Junior down (`results/small_graphs.md`); --preset paper has all four."""
    teacher_dim: int = 64
    """Dimension of the teachers."""
    teacher_n3: float | None = None
    """Weight of the N3 regulariser of the teachers; by default that of the Junior."""
    teacher_epochs: int | None = None
    """Passes over the training triples for each teacher; by default as many as the Junior's."""
    junior: str = "roth"
    """Scoring function of the Junior."""
    parallel: int = 1
    """Teachers trained side by side, each in a process of its own: they share the processor threads, and with --device
    cuda they take the GPUs in turn."""
    baseline: bool = True
    """Also train the same Junior without teachers, with the same settings, to see what they are worth."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde run", __doc__ or "", defaults)
    if not settings.teacher:
        raise UsageError("run needs at least one teacher; got none; pass --teacher NAME for each")
    if settings.method.endswith(".py"):
        raise UsageError(
            "run takes a method by name; give your file to `mulde distil`, with the teachers that run made"
        )
    shape, fit = part(ModelConfig, settings), part(FitConfig, settings)
    teachers = [scorer_called(name, replace(shape, dim=settings.teacher_dim)) for name in settings.teacher]
    junior = scorer_called(settings.junior, shape)
    if settings.parallel < 1:
        raise UsageError(f"parallel must be at least 1; got {settings.parallel}")
    trained = [*teachers, *[junior] * settings.baseline]
    if fit.relation_weight and not any(_own(name, fit).relation_weight for name in trained):
        raise UsageError(
            f"relation_weight needs a scorer that can predict relations, as complex can; got {', '.join(trained)}; "
            "leave relation_weight at 0"
        )
    waves = -(-len(teachers) // settings.parallel)  # teachers side by side take the time of one
    graph, known = begin(settings)
    folder = settings.out or Path("runs") / graph.name / "run"
    budget = _Budget(settings.budget, waves + 2 + settings.baseline, _used(folder, settings.parallel))
    rows: list[dict[str, Any]] = []

    def train(what: str, name: str, limited: FitConfig, shape: ModelConfig, place: Path) -> stage.Outcome:
        own = _own(name, limited)
        outcome = fitted(
            what, place, lambda place: stage.train(name, graph, own, shape, place, source=settings.data, known=known)
        )
        rows.append(row(what.partition(",")[0], outcome, place, judged(outcome, graph, place, known)))
        return outcome

    teacher_n3 = fit.n3 if settings.teacher_n3 is None else settings.teacher_n3
    teacher_epochs = fit.epochs if settings.teacher_epochs is None else settings.teacher_epochs
    teacher_fit = replace(fit, epochs=teacher_epochs, n3=teacher_n3)
    teacher_shape = replace(shape, dim=settings.teacher_dim)
    ensemble = _numbered(teachers)
    place, places = folder / "junior", [folder / "teachers" / name for name in ensemble]
    seeds = [fit.seed + ANOTHER_SEED * again for _, again in ensemble.values()]
    if settings.parallel > 1:
        teacher_fit = budget.limit(teacher_fit, shares=waves, each=waves)
        announce(f"{len(teachers)} teachers, {settings.parallel} side by side")
        fits = [replace(_own(name, teacher_fit), seed=seed) for name, seed in zip(teachers, seeds, strict=True)]
        side_by_side(settings.parallel, teachers, teacher_shape, fits, places, settings.data)
    for name, scorer, seed, where in zip(
        ensemble, teachers, seeds, places, strict=True
    ):  # only evaluated if they are there
        limited = replace(teacher_fit if settings.parallel > 1 else budget.limit(teacher_fit), seed=seed)
        train(f"teacher {name}, {teacher_shape.dim} dimensions", scorer, limited, teacher_shape, where)
    control: dict[str, stage.Outcome] = {}
    if settings.baseline:
        what = f"Junior alone, {junior}, {shape.dim} dimensions"
        control["alone"] = train(what, junior, budget.limit(fit), shape, folder / "alone")

    limit = budget.limit(fit, shares=2).budget
    distillation = replace(part(DistilConfig, settings), budget=limit, relation_weight=0.0)
    outcome = fitted(
        f"Junior {junior}, {shape.dim} dimensions, taught by {', '.join(ensemble)}",
        place,
        lambda place: stage.distil(junior, places, graph, distillation, place, source=settings.data, known=known),
    )
    if isinstance(outcome.method, MulDE):
        senior = cached_report(outcome.method.senior_ranker(), graph, place, "test", known, name="senior")
        rows.append({"model": "Senior (all teachers)", **metrics(senior)})
    every_teacher = Ensemble([open_model(teacher, graph) for teacher in places])
    ensemble = cached_report(every_teacher, graph, place, "test", known, name="ensemble")
    rows.append({"model": "plain sum of teachers", **metrics(ensemble)})
    report = judged(outcome, graph, place, known)
    rows.append(row("Junior (MulDE)" if settings.method == "mulde" else "Junior", outcome, place, report))

    summary = summarise(settings, graph, folder, rows, {"junior": report["mrr_interval_95"]})
    sizes = [{"kB": round(1000 * line["MB"])} if "MB" in line else {} for line in rows]
    narrow = [{name: (line | size).get(name) for name in SHOWN} for line, size in zip(rows, sizes, strict=True)]
    juniors = {"junior": outcome, **control}
    reached = {name: each.record.best_metrics["valid/mrr"] for name, each in juniors.items()}
    best = max(reached, key=lambda name: reached[name])  # of equals, the taught one
    told = ", ".join(f"{name} {mrr:.4f}" for name, mrr in reached.items())
    example = _example(juniors[best].model, graph)
    text = f"{title(graph)}\n{table(narrow)}\n\n{example}\n\nMRR on valid: {told}; take {folder / best}"
    return show(summary, text, settings.json)


class _Budget:
    """Shares the time that is left among the stages that are left; the Junior's counts twice.

    ``used``: seconds of earlier calls. They make every share at most what it was, so that finished stages stay so.
    """

    def __init__(self, duration: str | None, shares: int, used: float):
        self.left = shares
        self.end = None if duration is None else time.monotonic() + seconds(duration) - used

    def limit(self, fit: FitConfig, shares: int = 1, each: int = 1) -> FitConfig:
        """The settings of the next stages, which take this many shares, ``each`` of them one after the other."""
        if self.end is None:
            return fit
        share = shares / self.left
        self.left -= shares
        return replace(fit, budget=f"{max(1.0, (self.end - time.monotonic()) * share / each):.0f}s")


def _used(folder: Path, parallel: int) -> float:
    """Seconds of the stages that earlier calls finished in a run's folder."""
    records = {record: json.loads(record.read_text()) for record in folder.glob("**/fit/record.json")}
    beside = {record: parallel if "teachers" in record.parts else 1 for record in records}
    return sum(content["seconds"] / beside[record] for record, content in records.items())


def _own(scorer: str, fit: FitConfig) -> FitConfig:
    """The settings for one scorer, without what it cannot do and others can."""
    return fit if predicts_relations(find_scorer(scorer)) else replace(fit, relation_weight=0.0)


def _numbered(teachers: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Name -> scorer, and how often it was there before: roth, roth-2, roth-3."""
    ensemble: dict[str, tuple[str, int]] = {}
    for place, scorer in enumerate(teachers):
        again = teachers[:place].count(scorer)
        ensemble[f"{scorer}-{again + 1}" if again else scorer] = scorer, again
    return ensemble


def _example(model: KGEModel, graph: TripleSet) -> str:
    head, relation, tail = graph.test[0]
    asked, link = graph.entities[head], graph.relations[relation]
    answers = predict(model, graph, relation=link, head=asked, top=5)
    return f"a test triple, whose tail is {graph.entity_label(tail)}\n{answers}"
