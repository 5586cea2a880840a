"""What run folders hold, read for a report: stages with their evaluations, logs, models and the Senior's traces.

A run folder is that of `mulde run`, of `mulde train`, of `mulde distil`, or the record that `mulde run --save-record` left
in a repository, which has no weights; what a folder lacks, its part of the report says.
"""

from __future__ import annotations

import gzip
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
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.run_folder import DESCRIPTION, WEIGHTS, open_model
from mulde.kge.teachers.senior import open_senior

Role = Literal["junior", "baseline", "teacher", "senior", "ensemble"]
Log = list[dict[str, Any]]


@dataclass
class Stage:
    """One model of a run, or one way of asking its teachers together (roles senior and ensemble)."""

    name: str
    role: Role
    folder: Path
    test: dict[str, Any] | None
    """Evaluation on the test split, as `LinkPrediction.report` gives it."""
    config: dict[str, Any] = field(default_factory=dict)
    """fit/config.json."""
    record: dict[str, Any] = field(default_factory=dict)
    """fit/record.json."""
    log: Log = field(default_factory=list)
    model: KGEModel | None = None
    dim: int | None = None
    parameters: int | None = None
    megabytes: float | None = None
    latency: tuple[float, float] | None = None
    """Milliseconds for one query, median and 95th percentile; measured by `latency.py`."""

    @property
    def mrr(self) -> float | None:
        """Realistic, filtered, both directions."""
        return None if self.test is None else float(self.test["realistic"]["mrr"])

    @property
    def vectors(self) -> float | None:
        """The same by vectors alone, without what the graph says."""
        return None if self.test is None else float(self.test.get("embeddings_only", self.test["realistic"])["mrr"])

    @property
    def curve(self) -> Log:
        """The lines of the log that hold an evaluation."""
        return [line for line in self.log if "valid/mrr" in line]


@dataclass
class Run:
    """A folder with its stages, teachers first."""

    name: str
    folder: Path
    stages: list[Stage]
    settings: dict[str, Any]
    senior: tuple[tuple[str, ...], Tensor] | None = None
    """Teachers' names and gates (2r, m)."""

    def having(self, *roles: Role) -> list[Stage]:
        """Its stages of these roles."""
        return [stage for stage in self.stages if stage.role in roles]

    @property
    def junior(self) -> Stage | None:
        """The model that was taught, if the run has one."""
        return next(iter(self.having("junior")), None)

    @property
    def method(self) -> str:
        """How its Junior was taught: a name, or the path of a file."""
        return str(self.settings.get("method", "mulde"))

    @property
    def teachers(self) -> list[str]:
        """What to call the teachers, in the order of the Senior's columns."""
        if self.senior is not None:
            return list(self.senior[0])
        return [Path(str(name)).name for name in self.settings.get("teacher", ())]


def gather(folders: Sequence[Path], data: str | None = None) -> tuple[list[Run], TripleSet | None]:
    """The runs and the graph they share; None where the graph is not found from here.

    Raises UsageError where a folder holds no run, a file is damaged, or the runs were evaluated on different graphs.
    """
    runs = [_run(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    graphs = {stage.test["checksum"]: stage.test["data"] for run in runs for stage in run.stages if stage.test}
    if len(graphs) > 1:
        raise UsageError(
            f"these runs were evaluated on different graphs ({', '.join(sorted(graphs.values()))}), and their figures "
            "cannot be compared; give a report to each graph"
        )
    graph = _graph(runs, data)
    if graph is not None and graphs and graph.checksum not in graphs:
        raise UsageError(
            f"{graph.name} has not the triples that these runs were evaluated on; name their graph with --data"
        )
    for run in runs:
        for stage in run.stages:
            if stage.role not in ("senior", "ensemble") and (stage.folder / WEIGHTS).exists():
                stage.model = open_model(stage.folder, graph)
    _recognise_teachers(runs)
    return runs, graph


def _run(folder: Path, name: str) -> Run:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a run folder, as `mulde run` makes")
    settings_file = folder / "settings.yaml"
    settings = read_settings(settings_file) if settings_file.exists() else {}
    summary = read_json(folder / "summary.json") or {}
    teachers = [_stage(path, name, "teacher") for name, path in _teachers(folder, summary.get("rows", ())).items()]
    stages = [stage for stage in teachers if stage is not None]
    baseline = _stage(folder / "baseline", "baseline", "baseline")
    junior = _stage(folder / "junior", "Junior", "junior")
    if not stages and junior is None:  # a folder of `mulde train` or `mulde distil`
        single = _stage(folder, name, "baseline")
        if single is None:
            raise UsageError(f"{folder}: expected a run folder with fit/config.json, found none; is it a run?")
        single.role = "junior" if single.config.get("config", {}).get("stage") == "distil" else "baseline"
        stages, junior = [single], single if single.role == "junior" else None
    else:
        stages += [stage for stage in (baseline, junior) if stage is not None]
    if junior is not None:
        stages += _together(junior, stages)
    _sizes_from_summary(stages, summary)
    return Run(name, folder, stages, settings, None if junior is None else open_senior(junior.folder))


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
    """The two ways of asking all teachers of a Junior, where they were evaluated."""
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
    """Records have no weights, but their summary tells how large these were."""
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
    """Of several single folders, those that a Junior names as its teachers are teachers; names tell the run."""
    named = {Path(str(path)).resolve() for run in runs for path in run.settings.get("teacher", ())}
    for run in runs:
        for stage in run.stages:
            if stage.role == "baseline" and stage.folder.resolve() in named:
                stage.role = "teacher"
            if len(runs) > 1 and len(run.stages) > 1 and stage.name != run.name:
                stage.name = f"{stage.name} · {run.name}"


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many parts as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(path[-length:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    raise UsageError(f"{folders[0]}: the same run is named twice; name each once")


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


def _teachers(folder: Path, rows: Sequence[dict[str, Any]]) -> dict[str, Path]:
    """Name -> folder of the teachers of a run, which may be shared with other runs; by the summary if there is one."""
    found = {
        row["model"]: folder / row["folder"] for row in rows if row["model"].startswith("teacher ") and "folder" in row
    }
    if found:
        inside = {name: folder / "teachers" / path.name for name, path in found.items()}
        return {name: path if path.is_dir() else inside[name] for name, path in found.items()}
    return {f"teacher {path.name}": path for path in sorted((folder / "teachers").glob("*")) if path.is_dir()}


def _log(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log, of a compressed one too; the last one may be in the middle of being written."""
    packed = path.with_name(f"{path.name}.gz")
    try:
        text = gzip.decompress(packed.read_bytes()).decode() if packed.exists() else path.read_text(encoding="utf-8")
    except OSError:
        return
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return
