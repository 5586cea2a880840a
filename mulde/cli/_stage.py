"""What `train`, `distil` and `run` share: common options, loading the graph, and the result of a single stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulde.cli._output import announce, show
from mulde.config import to_dict
from mulde.errors import UsageError
from mulde.kge.training.presets import PresetName, defaults

if TYPE_CHECKING:
    from kge_data.filters import KnownAnswers
    from kge_data.tripleset import TripleSet
    from mulde.kge.training.fit import Progress
    from mulde.kge.training.stage import Outcome

SMALL = 10_000  # entities up to which a step is too short to be divided among threads


@dataclass(frozen=True, kw_only=True)
class Common:
    """Data, folder and process."""

    data: str = "umls"
    """Graph: a name (`mulde list data`), or the path of a folder or file."""
    columns: str | None = None
    """Columns with head, relation and tail in files of your own: names or positions from 1, such as from,kind,to or
    1,3,2. By default, columns are found by their names; without a header, there are three, in this order."""
    normalize: bool = False
    """In files of your own, remove outer and repeated blanks and quotes around labels, compose characters (NFC), and
    merge labels that become equal."""
    out: Path | None = None
    """Run folder. Default: a folder below runs/, named after the graph and the model."""
    preset: PresetName = "recommended"
    """Defaults of the options that are not given. recommended: chosen for each graph. best: offline distillation from
    one large teacher. kgemb, paper: as published."""
    threads: int | None = None
    """Processor threads. Default: all; one for graphs with fewer than 10,000 entities, where more threads are not
    faster."""
    keep_memory: bool = True
    """Keep freed memory in the C library instead of returning it at every step (glibc): faster."""
    json: bool = False
    """Print the result as JSON."""
    save_record: Path | None = None
    """Copy the small files of the finished run (results, settings, logs; no models) to this folder."""
    overwrite: bool = False
    """Let --save-record replace files that differ."""


def method_of(chosen: Mapping[str, Any]) -> str:
    """The method that is given, or that of the preset."""
    return str(chosen.get("method") or defaults(chosen, frozenset({"method"})).get("method", "mulde"))


def scorer_called(name: str) -> str:
    """Name of a scorer as its file is called; a remark where it is a name of the paper."""
    from mulde import catalogue
    from mulde.kge.storage.run_folder import find_scorer, scorer_name

    if remark := catalogue.note("scorers", name):
        announce(remark)
    catalogue.path_of("scorers", name)  # its error does not speak of classes
    return scorer_name(find_scorer(name))


def begin(settings: Common) -> tuple[TripleSet, KnownAnswers]:
    """Set up the process, load the graph and the filter of its evaluation."""
    import kge_data
    from mulde.engine import process
    from mulde.kge.evaluation.link_prediction import known_answers
    from mulde.kge.training.run import refuse_missing_splits

    graph = kge_data.load(settings.data, columns=settings.columns, normalize=settings.normalize)
    small = graph.num_entities < SMALL
    process.start(1 if settings.threads is None and small else settings.threads, settings.keep_memory)
    refuse_missing_splits(graph, settings.data)
    if graph.reading is not None:
        for line in (*graph.reading.lines, *(f"warning: {text}" for text in graph.reading.warnings)):
            announce(line)
    announce(str(graph).removeprefix("TripleSet(").removesuffix(")").replace("'", ""))
    return graph, known_answers(graph)


def print_progress(progress: Progress) -> None:
    """Print a message of a running job."""
    if progress.text:
        announce(progress.text)


def record_of(settings: Common, folder: Path) -> None:
    """Copy the small files of a finished run where --save-record wants them."""
    from mulde.kge.training.record import record

    if settings.save_record:
        record(folder, settings.save_record, settings.overwrite)
        announce(f"recorded in {settings.save_record}")


def end(settings: Common, name: str, outcome: Outcome, graph: TripleSet, folder: Path, known: KnownAnswers) -> int:
    """Evaluate the model of a single stage, write its summary and print the result; exit code 0."""
    from mulde.kge.training.summary import evaluated, row, summarise
    from mulde.report.tables import metrics_rows, table

    report = evaluated(outcome, graph, folder, known, name, print_progress)
    kept = {key: value for key, value in to_dict(settings).items() if key not in ("json", "save_record", "overwrite")}
    rows = [row(name, outcome, folder, report)]
    summary = summarise(kept, graph, folder, rows, {"model": report["mrr_interval_95"]})
    record_of(settings, folder)
    result = {"run": str(folder), "fit": outcome.record.as_dict(), "test": report, "summary": summary}
    text = f"{graph.name}, test split, filtered, both directions\n{table(metrics_rows(report))}\nrun folder: {folder}"
    return show(result, text, settings.json)


def refuse_no_teacher(teachers: tuple[Any, ...], advice: str) -> None:
    """Raises UsageError where no teacher is given."""
    if not teachers:
        raise UsageError(f"expected at least one teacher; got none; {advice}")
