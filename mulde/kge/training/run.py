"""The main job: train teachers, distil them into a small Junior, evaluate all of them.

A run folder holds ``junior/``, ``baseline/`` and the summary. Teachers are in a folder of their own, whose name has a
checksum of their settings, so that several Juniors use the same teachers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.config import flatten, to_dict
from mulde.engine.progress import Progress, Report, silent
from mulde.errors import UsageError
from mulde.files import file_name
from mulde.kge.evaluation.cache import cached_ranks, cached_report
from mulde.kge.evaluation.link_prediction import known_answers
from mulde.kge.evaluation.split_ranks import SplitRanks
from mulde.kge.losses import predicts_relations
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.options import FREE, Teachers
from mulde.kge.storage.recommended import SUMMARY
from mulde.kge.storage.run_folder import WEIGHTS, find_scorer, scorer_name
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.training import stage, supervised
from mulde.kge.training.budget import Budget, used_by
from mulde.kge.training.estimate import Estimate, estimate, predictions_bytes
from mulde.kge.training.method_file import MethodFile, open_method
from mulde.kge.training.parallel import side_by_side
from mulde.kge.training.result import Result
from mulde.kge.training.summary import evaluated, metrics, row, summarise
from mulde.kge.training.verdict import Candidate, decide
from mulde.run_folders import locked_run, waiting
from mulde.run_folders import restart as move_aside

ANOTHER_SEED = 1000  # difference between the seeds of a repeated teacher, larger than seeds that runs are compared over


def run(
    graph: TripleSet,
    teachers: Teachers,
    training: supervised.Config,
    config: Any,
    *,
    method: str | Path | MethodFile = "mulde",
    folder: Path | None = None,
    source: str = "",
    known: KnownAnswers | None = None,
    restart: bool = False,
    wait: bool = False,
    bar: bool | None = None,
    progress: Report = silent,
) -> Result:
    """Train teachers and a baseline, distil the teachers into a Junior, and evaluate all on the test split.

    The same call again continues an interrupted run and reuses what is finished.

    Parameters
    ----------
    graph
        The data, with train, valid and test triples.
    teachers
        Which teachers; whether to train a baseline.
    training
        Options of teachers and baseline; their model options are those of ``config``, except the dimension.
    config
        Config of the method. Its budget is that of the whole run.
    method
        A name of `mulde list methods`, or the path of a Python file.
    folder
        Run folder, with the teachers in it. None: ``runs/GRAPH/JUNIOR-DIM-hash``, with the teachers in
        ``runs/GRAPH/teachers``, where other runs find them.
    source
        Name or path that the graph was loaded by.
    known
        Filter of the evaluation, where it is shared.
    restart
        Move an existing run folder aside and start anew; teachers that other runs share are kept.
    wait
        If another process writes into the run folder, or trains a teacher that is shared, wait until it has ended.
    bar
        Show a progress bar; None: in terminals and notebooks only.
    progress
        Receives messages.

    Returns
    -------
    Result
        Models, metrics and folder.

    Raises
    ------
    UsageError
        For options that do not go together, or a folder that holds another run or is in use.
    """
    config = replace(config, junior=checked_scorer(config.junior, config.model))
    job = _Job.planned(graph, teachers, training, config, method, folder, source or graph.name)
    until_free = waiting(wait, progress)
    if restart:
        move_aside(job.folder, progress, until_free)
    with locked_run(job.folder, until_free, finished=(job.folder / SUMMARY).exists()):
        return _carried_out(job, graph, teachers, training, config, known, until_free, bar, progress)


def _carried_out(
    job: _Job, graph: TripleSet, teachers: Teachers, training: supervised.Config, config: Any,
    known: KnownAnswers | None, wait: Callable[[str], object] | None, bar: bool | None, progress: Report,
) -> Result:  # fmt: skip
    """Train what is missing, and evaluate all; the lock of the run folder is held, and each stage has its own."""
    source = job.source
    known = known or known_answers(graph)
    waves = -(-len(job.scorers) // teachers.parallel)  # teachers side by side take the time of one
    parts = waves + 2 + teachers.baseline
    total = config.training.budget
    used = used_by(job.places, [job.baseline, job.junior], teachers.parallel, (total or 0) / parts)
    budget = Budget(total, parts, used)
    own = _for_scorer(job.junior_scorer, replace(training, model=config.model))
    if not is_finished(job.junior):
        progress(Progress("estimate", job.estimate(graph, own, known, config).text(total)))
    outcomes: dict[str, stage.Outcome] = {}
    candidates: list[Candidate] = []
    reports: dict[str, dict[str, Any]] = {}
    ranks: dict[str, SplitRanks] = {}
    rows: list[dict[str, Any]] = []

    def add(name: str, outcome: stage.Outcome, place: Path) -> None:
        outcomes[name] = outcome
        report = reports[name] = evaluated(outcome, graph, place, known, name, progress)
        ranks[name] = cached_ranks(place, report)
        found = {**row(name, outcome, place, report), "folder": job.relative(place)}
        candidates.append(Candidate(
            name, found["folder"], found["dim"], (place / WEIGHTS).stat().st_size,
            outcome.record.best_metrics["valid/mrr"], found["MRR"], outcome.record.best_epoch or 0,
        ))  # fmt: skip
        rows.append(found)

    def train(name: str, title: str, scorer: str, options: supervised.Config, place: Path) -> None:
        progress(Progress(name, f"{title}, {options.model.dim} dimensions"))
        rest: dict[str, Any] = {"source": source, "known": known, "bar": bar, "progress": progress, "stage": name}
        with locked_run(place, wait, finished=is_finished(place)):  # other runs share the teachers
            add(name, stage.train(scorer, graph, options, place, **rest), place)

    limit = budget.limit(waves, waves) if teachers.parallel > 1 else None
    if teachers.parallel > 1:
        progress(Progress("teachers", f"{len(job.scorers)} teachers, {teachers.parallel} side by side"))
        limited = [_within(options, limit) for options in job.options]
        side_by_side(teachers.parallel, job.scorers, limited, job.places, graph, source)
    for name, scorer, options, place in zip(job.names, job.scorers, job.options, job.places, strict=True):
        seconds = limit if teachers.parallel > 1 else budget.limit()
        train(f"teacher {name}", f"teacher {name}", scorer, _within(options, seconds), place)
    if teachers.baseline:
        train(
            "baseline", f"baseline {job.junior_scorer}", job.junior_scorer, _within(own, budget.limit()), job.baseline
        )

    progress(Progress("Junior", (
        f"Junior {job.junior_scorer}, {config.model.dim} dimensions, distilled from {', '.join(job.names)}"
    )))  # fmt: skip
    with locked_run(job.junior, wait, finished=is_finished(job.junior)):
        junior = stage.distil(
            job.junior_scorer, job.places, graph, _within(config, budget.limit(2)), job.junior,
            method=job.method, source=source, known=known, bar=bar, progress=progress, stage="Junior",
        )  # fmt: skip
        ensemble = Ensemble([outcomes[f"teacher {name}"].model for name in job.names])
        rankers: dict[str, Any] = {**junior.networks, "teacher ensemble": ensemble}
        for name, ranker in rankers.items():
            if hasattr(ranker, "blocks"):
                found = cached_report(ranker, graph, job.junior, "test", known, name=name.rpartition(" ")[2])
                rows.append({"model": name.capitalize() if name in junior.networks else name, **metrics(found)})
        add("Junior", junior, job.junior)
    verdict = decide(graph, source, job.folder, job.out, candidates, ranks)
    interval = {"Junior": reports["Junior"]["embeddings_only"]["mrr_interval_95"]}
    reading = {} if graph.reading is None else graph.reading.options
    settings = {**job.settings(teachers, training, config), **reading}
    summary = summarise(settings, graph, job.folder, rows, interval, verdict)
    return Result(
        graph,
        job.folder,
        junior.model,
        outcomes["baseline"].model if teachers.baseline else None,
        {name: outcomes[f"teacher {name}"].model for name in job.names},
        junior.networks,
        tuple(rows),
        {name: each.record for name, each in outcomes.items()},
        {it.model: job.folder / it.folder for it in candidates},
        verdict,
        summary,
    )


@dataclass(frozen=True)
class _Job:
    """A run before it starts: names, options and places of its stages."""

    folder: Path
    out: Path | None
    junior_scorer: str
    method: MethodFile
    source: str
    names: tuple[str, ...]
    scorers: tuple[str, ...]
    options: tuple[supervised.Config, ...]
    places: tuple[Path, ...]

    @classmethod
    def planned(
        cls, graph: TripleSet, teachers: Teachers, training: supervised.Config, config: Any, method: Any,
        folder: Path | None, source: str,
    ) -> _Job:  # fmt: skip
        """Check everything before anything is trained."""
        refuse_missing_splits(graph, source)
        file = method if isinstance(method, MethodFile) else open_method(method)
        junior = config.junior
        model = replace(config.model, dim=teachers.teacher_dim, dims=())
        scorers = tuple(checked_scorer(name, model) for name in teachers.teacher)
        trained = [*scorers, *[junior] * teachers.baseline]
        if training.relation_weight and not any(predicts_relations(find_scorer(name)) for name in trained):
            raise UsageError(
                "relation_weight needs a scorer that can predict relations, as complex can; got "
                f"{', '.join(trained)}; leave relation_weight at 0"
            )
        n3 = training.n3 if teachers.teacher_n3 is None else teachers.teacher_n3
        epochs = training.training.epochs if teachers.teacher_epochs is None else teachers.teacher_epochs
        common = replace(training, model=model, n3=n3, training=replace(training.training, epochs=epochs))
        names, options, places = [], [], []
        shelf = (Path("runs") / file_name(graph.name) if folder is None else folder) / "teachers"
        for number, scorer in enumerate(scorers):
            again = scorers[:number].count(scorer)
            names.append(f"{scorer}-{again + 1}" if again else scorer)
            seed = common.training.seed + ANOTHER_SEED * again
            own = _for_scorer(scorer, replace(common, training=replace(common.training, seed=seed)))
            options.append(own)
            places.append(shelf / f"{scorer}-{model.dim}-{_checksum(graph, scorer, own)}")
        out = folder
        if folder is None:
            baseline = training if teachers.baseline else None
            checksum = _checksum(
                graph, junior, config, baseline, [place.name for place in places], file.name, file.source
            )
            folder = Path("runs") / file_name(graph.name) / f"{junior}-{config.model.dim}-{checksum}"
        return cls(folder, out, junior, file, source, tuple(names), scorers, tuple(options), tuple(places))

    @property
    def junior(self) -> Path:
        """Folder of the Junior."""
        return self.folder / "junior"

    @property
    def baseline(self) -> Path:
        """Folder of the baseline."""
        return self.folder / "baseline"

    def estimate(self, graph: TripleSet, own: supervised.Config, known: KnownAnswers, config: Any) -> Estimate:
        """What the stages take that are not finished; ``own``: options of the baseline, ``config``: of the method.

        The Junior takes about as long as teachers and baseline together.
        """
        stages = [*zip(self.scorers, self.options, self.places, strict=True), (self.junior_scorer, own, self.baseline)]
        left = [(scorer, options) for scorer, options, place in stages if not is_finished(place)]
        return estimate(left, graph, known, 2.0, predictions_bytes(config, graph))

    def relative(self, place: Path) -> str:
        """A folder of a stage, relative to the run folder."""
        return os.path.relpath(place, self.folder)

    def settings(self, teachers: Teachers, training: supervised.Config, config: Any) -> dict[str, Any]:
        """All options by name, as `mulde run --config` reads them."""
        return {
            "data": self.source, "out": None if self.out is None else str(self.out), "method": self.method.place,
            **to_dict(training), **to_dict(teachers), **to_dict(config),
        }  # fmt: skip


def is_finished(stage: Path) -> bool:
    """Whether the training of a stage has ended and its model is written."""
    return (stage / "fit/record.json").exists() and (stage / WEIGHTS).exists()


def checked_scorer(name: str, model: Any) -> str:
    """Name of a scorer as its file is called.

    Raises
    ------
    UsageError
        For an unknown one, or a model that it cannot have.
    """
    scorer = find_scorer(name)
    KGEModel(scorer, 1, 1, model)
    return scorer_name(scorer)


def refuse_missing_splits(graph: TripleSet, source: str, splits: Sequence[str] = ("train", "valid", "test")) -> None:
    """Raises UsageError where a graph has no triples to train on, to select by, or to test on."""
    for split in splits:
        if not len(getattr(graph, split)):
            raise UsageError(
                f"{source or graph.name} has no {split} triples, which training needs; add them, or give all triples "
                "as a single file (in Python, without valid and test), which is split by seed"
            )


def _for_scorer(scorer: str, options: supervised.Config) -> supervised.Config:
    """The options for one scorer, without the loss that only others can have."""
    return options if predicts_relations(find_scorer(scorer)) else replace(options, relation_weight=0.0)


def _within(config: Any, seconds: float | None) -> Any:
    """The options with another time budget."""
    return replace(config, training=replace(config.training, budget=seconds))


def _checksum(graph: TripleSet, *parts: Any) -> str:
    """Eight digits of a checksum over the settings that must match on resume."""
    plain = [
        {name: value for name, value in flatten(part).items() if name not in FREE}
        if is_dataclass(part) and not isinstance(part, type)
        else part
        for part in parts
    ]
    text = json.dumps([graph.checksum, *plain], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
