"""Content of run folders for a report: stages with their evaluations, logs, models and the Senior's gates.

A folder is one of `mulde run`, `mulde train` or `mulde distil`. The report names what a folder lacks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from kge_data.errors import DataError
from kge_data.loading import load as load_graph
from kge_data.tripleset import TripleSet
from mulde.config import read as read_settings
from mulde.errors import UsageError
from mulde.files import read_json
from mulde.kge.inference.latency import Latency
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.run_folder import DESCRIPTION, WEIGHTS, open_model
from mulde.kge.teachers.senior import open_senior

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
        if self.test is None:
            return {}
        if "by_relation" in self.test.get("embeddings_only", {}):
            return self.test["embeddings_only"]
        return {**self.test, **self.test["realistic"], **self.test.get("embeddings_only", {})}  # of an older version

    @property
    def mrr(self) -> float | None:
        """Filtered realistic MRR of the embeddings only, both directions."""
        return None if self.test is None else float(self.only["mrr"])

    @property
    def prior_mrr(self) -> float | None:
        """MRR with the graph prior; None if the model has none."""
        if self.test is None or not self.test.get("graph_prior", "embeddings_only" in self.test):
            return None
        return float(self.test["realistic"]["mrr"])

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
    def has_senior(self) -> bool:
        """Whether a Senior was evaluated beside the Junior."""
        return any(stage.role == "senior" for stage in self.stages)

    @property
    def teachers(self) -> list[str]:
        """Names of the teachers, in the order of the Senior's columns."""
        if self.senior is not None:
            return list(self.senior[0])
        return [Path(str(name)).name for name in self.settings.get("teacher", ())]


def open_runs(folders: Sequence[Path], data: str | None = None) -> tuple[list[Run], TripleSet | None]:
    """Runs, and their graph; None if the graph is not found.

    Parameters
    ----------
    folders
        Run folders.
    data
        Name or path of the graph; None: the one the models were trained on.

    Raises
    ------
    UsageError
        If a folder is no run, a file is damaged, or the runs were evaluated on different graphs.
    """
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
            if stage.role not in ("senior", "ensemble") and (stage.folder / WEIGHTS).exists():
                stage.model = open_model(stage.folder, graph)
    _recognise_teachers(runs)
    return runs, graph


def _run(folder: Path, name: str) -> Run:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a run folder of `mulde run`, `train` or `distil`")
    settings_file = folder / "settings.yaml"
    settings = read_settings(settings_file) if settings_file.exists() else {}
    summary = read_json(folder / "summary.json") or {}
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
    _sizes_from_summary(stages, summary)
    return Run(name, folder, stages, settings, None if junior is None else open_senior(junior.folder))


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
    config = read_json(fit / "config.json")
    if config is None:
        return None
    description = read_json(folder / DESCRIPTION) or {}
    weights = folder / WEIGHTS
    return Stage(
        name,
        role,
        folder,
        read_json(folder / "test.json"),
        config,
        read_json(fit / "record.json") or {},
        list(_log(fit / "log.jsonl")),
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
        if (report := read_json(junior.folder / f"{role}.json")) is not None
    ]


def _sizes_from_summary(stages: Sequence[Stage], summary: dict[str, Any]) -> None:
    """Set the sizes of models in a record, which has no weights, from its summary."""
    rows = {row["model"]: row for row in summary.get("rows", ())}
    for stage in stages:
        row = rows.get(stage.name, {})
        stage.dim = stage.dim or row.get("dim")
        stage.parameters = stage.parameters or row.get("parameters")
        stage.megabytes = stage.megabytes or row.get("MB")
    whole = [stage.megabytes for stage in stages if stage.role == "teacher"]
    for stage in stages:
        if stage.role in ("senior", "ensemble") and whole and None not in whole:
            stage.megabytes = sum(size for size in whole if size is not None)


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
    sources = [(read_json(stage.folder / DESCRIPTION) or {}).get("data", {}) for run in runs for stage in run.stages]
    names = [source["source"] for source in sources if "source" in source]
    names += [run.settings["data"] for run in runs if "data" in run.settings]
    for name in dict.fromkeys(names):
        try:
            return load_graph(name)
        except DataError:
            continue
    return None


def _log(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of a log; a line that is being written is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return
