"""Content of runs for a report: stages with their evaluations, logs, models and the Senior's gates.

A run is a folder of `mulde run`, `mulde train` or `mulde distil`, or a bundle. The report names what it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from kge_data.errors import DataError
from kge_data.loading import load as load_graph
from kge_data.tripleset import TripleSet
from mulde import schema
from mulde.config import read as read_settings
from mulde.engine.latency import Latency
from mulde.errors import UsageError
from mulde.kge.evaluation.cache import full_report
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage import bundle
from mulde.kge.storage.run_folder import DESCRIPTION, WEIGHTS, describe, graph_of, open_model
from mulde.kge.teachers.senior import open_senior
from mulde.schema import contents

Role = Literal["junior", "baseline", "teacher", "senior", "ensemble"]
Log = list[dict[str, Any]]


@dataclass
class Stage:
    """One model of a run, or its teachers together (roles senior and ensemble)."""

    name: str
    role: Role
    folder: Path
    test: dict[str, Any] | None
    """Evaluation on the test split, see `mulde.kge.evaluation.cache.full_report`."""
    config: dict[str, Any] = field(default_factory=dict)
    """fit/config.json."""
    record: dict[str, Any] = field(default_factory=dict)
    """fit/record.json."""
    log: Log = field(default_factory=list)
    model: KGEModel | None = None
    dim: int | None = None
    parameters: int | None = None
    megabytes: float | None = None
    latency: Latency | None = None
    """Time of one query, measured by `latency.py`."""

    @property
    def only(self) -> dict[str, Any]:
        """Metrics and breakdowns of the embeddings only; empty without an evaluation."""
        return {} if self.test is None else self.test["embeddings_only"]

    @property
    def mrr(self) -> float | None:
        """Filtered realistic MRR of the embeddings only, both directions."""
        return None if self.test is None else float(self.only["mrr"])

    @property
    def prior_mrr(self) -> float | None:
        """MRR with the graph prior; None if the model has none."""
        if self.test is None or not self.test["graph_prior"]:
            return None
        return float(self.test["realistic"]["mrr"])

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of `mrr`, where known."""
        found = self.only.get("mrr_interval_95")
        return None if found is None else (float(found[0]), float(found[1]))

    @property
    def valid_mrr(self) -> float | None:
        """Best validation MRR of the training, which models are selected by."""
        found = self.record.get("best_metrics", {}).get("valid/mrr")
        return None if found is None else float(found)

    @property
    def curve(self) -> Log:
        """Lines of the log with an evaluation."""
        return [line for line in self.log if "valid/mrr" in line]


@dataclass
class Run:
    """A folder with its stages, teachers first."""

    name: str
    folder: Path
    stages: list[Stage]
    settings: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)
    """summary.json."""
    senior: tuple[tuple[str, ...], Tensor] | None = None
    """Names of the teachers, and gates (2r, m)."""

    def having(self, *roles: Role) -> list[Stage]:
        """Stages of these roles."""
        return [stage for stage in self.stages if stage.role in roles]

    @property
    def junior(self) -> Stage | None:
        """The distilled model, if the run has one."""
        return next(iter(self.having("junior")), None)

    @property
    def main(self) -> Stage | None:
        """The recommended model, or the Junior, or the first evaluated model."""
        recommended = (self.folder / self.summary.get("recommended", "")).resolve()
        trained = self.having("junior", "baseline", "teacher")
        found = (it for it in trained if it.folder.resolve() == recommended)
        return next(found, None) or self.junior or next(iter(trained), None)

    @property
    def has_senior(self) -> bool:
        """Whether a Senior was evaluated beside the Junior."""
        return any(stage.role == "senior" for stage in self.stages)

    @property
    def teachers(self) -> list[str]:
        """Names of the teachers, in the order of the Senior's columns."""
        if self.senior is not None:
            return list(self.senior[0])
        return [Path(str(name)).name for name in self.settings.get("teacher", ())]


def foremost(runs: Sequence[Run]) -> Run | None:
    """The run whose main model has the highest validation MRR; None if no main model was evaluated."""
    known = [(run.main.valid_mrr or 0, -i, run) for i, run in enumerate(runs) if run.main and run.main.test]
    return max(known)[2] if known else None


def best_teacher(stages: Sequence[Stage]) -> Stage | None:
    """The teacher with the highest validation MRR."""
    known = [it for it in stages if it.role == "teacher" and it.valid_mrr is not None]
    return max(known, key=lambda it: it.valid_mrr or 0, default=None)


def open_runs(folders: Sequence[Path], data: str | None = None) -> tuple[list[Run], TripleSet | None]:
    """Runs, and their graph; None if the graph is not found.

    Parameters
    ----------
    folders
        Run folders, bundles, or names of pretrained models.
    data
        Name or path of the graph; None: the one the models were trained on.

    Raises
    ------
    UsageError
        If a folder is no run, a file is damaged, or the runs were evaluated on different graphs.
    """
    folders = [folder if folder.exists() else bundle.locate(folder) for folder in folders]
    runs = [_run(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    graphs = {stage.test["checksum"]: stage.test["data"] for run in runs for stage in run.stages if stage.test}
    if len(graphs) > 1:
        raise UsageError(
            f"these runs were evaluated on different graphs ({', '.join(sorted(graphs.values()))}), and their figures "
            "cannot be compared; make one report for each graph"
        )
    graph = _graph(runs, data)
    if graph is not None and graphs and graph.checksum not in graphs:
        raise UsageError(
            f"{graph.name} does not have the triples that these runs were evaluated on; pass their graph with --data"
        )
    for run in runs:
        for stage in run.stages:
            if stage.role not in ("senior", "ensemble") and _has_weights(stage.folder):
                stage.model = open_model(stage.folder, graph)
    _recognise_teachers(runs)
    return runs, graph


def _has_weights(place: Path) -> bool:
    return bundle.is_bundle(place) or (place / WEIGHTS).exists()


def _run(folder: Path, name: str) -> Run:
    if bundle.is_bundle(folder):
        return Run(name, folder, [_packed(folder, name)], {})
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a run folder of `mulde run`, `train` or `distil`")
    settings_file = folder / "settings.yaml"
    settings = read_settings(settings_file) if settings_file.exists() else {}
    summary = schema.read(folder / "summary.json", contents.SUMMARY) or {}
    teachers = [_stage(path, title, "teacher") for title, path in _teachers(folder, summary).items()]
    stages = [stage for stage in teachers if stage is not None]
    baseline = _stage(folder / "baseline", "baseline", "baseline")
    junior = _stage(folder / "junior", "Junior", "junior")
    if not stages and junior is None:  # a folder of `mulde train` or `mulde distil`
        single = _stage(folder, name, "baseline")
        if single is None:
            raise UsageError(
                f"{folder}: expected a run folder with fit/config.json, found none; pass a folder of a run"
            )
        single.role = "junior" if single.config.get("config", {}).get("stage") == "distil" else "baseline"
        stages, junior = [single], single if single.role == "junior" else None
    else:
        stages += [stage for stage in (baseline, junior) if stage is not None]
    if junior is not None:
        stages += _together(junior, stages)
    return Run(name, folder, stages, settings, summary, None if junior is None else open_senior(junior.folder))


def _packed(place: Path, name: str) -> Stage:
    """The model of a bundle, evaluated if the bundle has test triples."""
    content, description = bundle.read(place), describe(place)
    graph = content.graph()
    test = full_report(open_model(place, graph), graph, "test") if len(graph.test) else None
    config = content.manifest["training"].get("config", {})
    return Stage(
        name,
        "junior" if config.get("stage") == "distil" else "baseline",
        place,
        test,
        {"config": config},
        dim=description["model"]["dim"],
        parameters=description["parameters"],
        megabytes=content.names[WEIGHTS]["bytes"] / 1e6,
    )


def _teachers(folder: Path, summary: dict[str, Any]) -> dict[str, Path]:
    """Name -> folder of the teachers of a run, which may be shared with other runs; by the summary if there is one."""
    rows = summary.get("rows", ())
    found = {
        row["model"]: folder / row["folder"]
        for row in rows
        if "folder" in row and str(row["model"]).startswith("teacher ")
    }
    if found:
        inside = {name: folder / "teachers" / path.name for name, path in found.items()}
        return {name: path if path.is_dir() else inside[name] for name, path in found.items()}
    return {f"teacher {path.name}": path for path in sorted((folder / "teachers").glob("*")) if path.is_dir()}


def _stage(folder: Path, name: str, role: Role) -> Stage | None:
    fit = folder / "fit" if (folder / "fit").is_dir() else folder
    config = schema.read(fit / "config.json", contents.CONFIG)
    if config is None:
        return None
    description = schema.read(folder / DESCRIPTION, contents.DESCRIPTION) or {}
    weights = folder / WEIGHTS
    return Stage(
        name,
        role,
        folder,
        schema.read(folder / "test.json", contents.EVALUATION),
        config,
        schema.read(fit / "record.json", contents.RECORD) or {},
        schema.read_lines(fit / "log.jsonl", contents.LINE),
        dim=description.get("model", {}).get("dim"),
        parameters=description.get("parameters"),
        megabytes=weights.stat().st_size / 1e6 if weights.exists() else None,
    )


def _together(junior: Stage, stages: Sequence[Stage]) -> list[Stage]:
    """Senior and teacher ensemble of a Junior, if they were evaluated."""
    names: list[tuple[str, Role]] = [("Senior", "senior"), ("teacher ensemble", "ensemble")]
    sizes = [stage.megabytes for stage in stages if stage.role == "teacher"]
    known = [size for size in sizes if size is not None]
    whole = sum(known) if known and len(known) == len(sizes) else None
    return [
        Stage(name, role, junior.folder, report, megabytes=whole)
        for name, role in names
        if (report := schema.read(junior.folder / f"{role}.json", contents.EVALUATION)) is not None
    ]


def _recognise_teachers(runs: Sequence[Run]) -> None:
    """Give single folders that a Junior was distilled from the role teacher, and add the run to all names."""
    named = {Path(str(path)).resolve() for run in runs for path in run.settings.get("teacher", ())}
    for run in runs:
        for stage in run.stages:
            if stage.role == "baseline" and stage.folder.resolve() in named:
                stage.role = "teacher"
            if len(runs) > 1 and len(run.stages) > 1 and stage.name != run.name:
                stage.name = f"{stage.name} · {run.name}"


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many parts as make them distinct."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    raise UsageError(f"{folders[0]}: the same run is given twice; give each once")


def _graph(runs: Sequence[Run], data: str | None) -> TripleSet | None:
    if data is not None:
        return load_graph(data)
    for stage in (stage for run in runs for stage in run.stages):
        if bundle.is_bundle(stage.folder) or (stage.folder / DESCRIPTION).exists():
            try:
                return graph_of(stage.folder)
            except (DataError, UsageError):
                continue
    return None
