"""What `train`, `distil` and `run` share: common options, loading the graph, and the result of a single stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mulde.cli._output import announce, show
from mulde.config import Threads, to_dict
from mulde.kge.training.presets import PresetName

if TYPE_CHECKING:
    from kge_data.filters import KnownAnswers
    from kge_data.tripleset import TripleSet
    from mulde.engine.progress import Progress
    from mulde.kge.training.stage import Outcome


@dataclass(frozen=True, kw_only=True)
class Start:
    """Data, folder and process."""

    data: str = "umls"
    """Graph: a name (`mulde list data`), or the path of a folder or file."""
    columns: str | None = None
    """Columns with head, relation and tail in files of your own: names or positions from 1, such as from,kind,to or
    1,3,2. By default, columns are found by their names; without a header, a file has these three, in this order."""
    normalize: bool = False
    """In files of your own, remove outer and repeated blanks and quotes around labels, compose characters (NFC), and
    merge labels that become equal."""
    base: str | None = None
    """Absolute IRI for resolving relative IRIs in RDF files of your own."""
    out: Path | None = None
    """Run folder. Default: a folder below runs/, named after the graph and the model."""
    preset: PresetName = "recommended"
    """Defaults of the options that are not given. recommended: chosen for each graph. best: offline distillation from
    one large teacher. kgemb: configurations of KGEmb, the code of Chami et al. 2020. paper: the code of MulDE's
    authors."""
    threads: Threads | None = None
    """Processor threads. Default: all; one for graphs with fewer than 10,000 entities, where more threads are not
    faster."""
    keep_memory: bool = True
    """Keep freed memory in the C library instead of returning it at every step (glibc): faster."""
    wait: bool = False
    """If another command is writing into the folder, wait until it has ended instead of stopping with an error."""
    json: bool = False
    """Print the result as JSON."""


@dataclass(frozen=True, kw_only=True)
class Common(Start):
    """Data, folder and process."""

    restart: bool = False
    """Start anew; an existing run folder is renamed to FOLDER.before-restart-DATE. Teachers that other runs share are
    kept."""
    save_record: Path | None = None
    """Append a record of each trained model (settings, seed, checksum, metrics, curve) to this file, a JSON object per
    line."""


def scorer_called(name: str) -> str:
    """Name of a scorer as its file is called; a remark where it is a name of the paper."""
    from mulde import catalogue
    from mulde.kge.storage.run_folder import find_scorer, scorer_name

    if remark := catalogue.note("scorers", name):
        announce(remark)
    catalogue.path_of("scorers", name)  # its error does not speak of classes
    return scorer_name(find_scorer(name))


@contextmanager
def begin(settings: Common, device: str) -> Iterator[tuple[TripleSet, KnownAnswers]]:
    """Load the graph and the filter of its evaluation; set threads and memory for the block."""
    from mulde.kge.evaluation.link_prediction import known_answers
    from mulde.kge.training import record_file

    if settings.save_record:
        record_file.read(settings.save_record, ("run", "metrics"))  # refuses another file before the training
    with start(settings, device, ("train", "valid", "test")) as graph:
        yield graph, known_answers(graph)


@contextmanager
def start(settings: Start, device: str, splits: Sequence[str]) -> Iterator[TripleSet]:
    """Load the graph, which must have these splits; set threads and memory for the block."""
    import kge_data
    from mulde.cli._process import computing
    from mulde.kge.training.run import refuse_missing_splits

    graph = kge_data.load(settings.data, columns=settings.columns, normalize=settings.normalize, base=settings.base)
    refuse_missing_splits(graph, settings.data, splits)
    if graph.reading is not None:
        for line in (*graph.reading.lines, *(f"warning: {text}" for text in graph.reading.warnings)):
            announce(line)
    announce(str(graph).removeprefix("TripleSet(").removesuffix(")").replace("'", ""))
    with computing(graph, device, settings.threads, settings.keep_memory):
        yield graph


@contextmanager
def writing(settings: Common, folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which --restart moves aside before."""
    from mulde.run_folders import locked_run, restart

    wait = announce if settings.wait else None
    if settings.restart:
        restart(folder, print_progress, wait)
    with locked_run(folder, wait, finished=(folder / "summary.json").exists()):
        yield


def print_progress(progress: Progress) -> None:
    """Print a message of a running job."""
    if progress.text:
        announce(progress.text)


def record_of(settings: Common, folder: Path) -> None:
    """Append the records of a finished run where --save-record wants them."""
    from mulde.kge.training.record import of_run
    from mulde.kge.training.record_file import append

    if settings.save_record:
        added = append(settings.save_record, *({"run": str(folder), **record} for record in of_run(folder)))
        announce(f"{added} record{'s' * (added != 1)} added to {settings.save_record}")


def end(settings: Common, name: str, outcome: Outcome, graph: TripleSet, folder: Path, known: KnownAnswers) -> int:
    """Evaluate the model of a single stage, write its summary and print the result; exit code 0."""
    from mulde.kge.training.summary import evaluated, row, summarise
    from mulde.report.tables import metrics_rows, table

    report = evaluated(outcome, graph, folder, known, name, print_progress)
    kept = {
        key: value for key, value in to_dict(settings).items() if key not in ("json", "save_record", "restart", "wait")
    }
    rows = [row(name, outcome, folder, report)]
    summary = summarise(kept, graph, folder, rows, {"model": report["embeddings_only"]["mrr_interval_95"]})
    record_of(settings, folder)
    result = {"run": str(folder), "fit": outcome.record.as_dict(), "test": report, "summary": summary}
    text = f"{graph.name}, test split, filtered, both directions\n{table(metrics_rows(report))}\nrun folder: {folder}"
    return show(result, text, settings.json)
