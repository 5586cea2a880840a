"""`mulde ablate --all`: the studies of all methods, and one table of them.

On the CPU, as many studies as there are threads run at once, each on one thread in a process of its own. A study that
fails, or whose process is ended, does not stop the others.
"""

from __future__ import annotations

import multiprocessing
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from kge_data.printing import print_in_any_encoding
from mulde import catalogue, cli
from mulde.cli._output import announce, prints, show
from mulde.cli._progress import logged_progress
from mulde.cli._study import folder_of, run_study
from mulde.cli._warnings import short_warnings
from mulde.errors import MissingExtra, UsageError
from mulde.files import locked, process_group, refuse_files_of_others
from mulde.worker import end_with_parent

if TYPE_CHECKING:
    from mulde.cli.ablate import Config

Row = dict[str, Any]


def run_all(settings: Config, argv: Sequence[str]) -> int:
    """Run the studies, write the table after each, and print it; the exit code is 1 if a study failed."""
    from mulde.vision.ablation import overview

    there = catalogue.studies()
    names = [name for name in catalogue.fields_of_methods() if name in there]
    folder, rows, found = folder_of(settings), dict[str, Row](), list[Row]()
    refuse_files_of_others(folder, overview.WRITTEN, "*/results.json")
    with locked(folder, announce if settings.wait else None):
        for name, row in _rows(names, settings, argv):
            rows[name] = row
            minutes = f", {row['minutes']:.1f} min" if "minutes" in row else ""
            announce(f"{len(rows)} of {len(names)} studies: {name}, {row['verdict']}{minutes}")
            found = [rows[each] for each in names if each in rows]
            if prints():
                overview.write(folder, found, shlex.join(["mulde", "ablate", *argv]))
    code = int(any(row["verdict"] == "failed" for row in found))
    return show(found, f"{overview.text(found)}\n\ntable and results of each study: {folder}", settings.json) or code


def _rows(names: Sequence[str], settings: Config, argv: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Names and rows, as the studies end."""
    import torch

    alone = settings.device != "cpu" or process_group().size > 1
    at_once = 1 if alone else min(torch.get_num_threads(), len(names))
    if at_once == 1:
        yield from ((name, _row(name, settings, argv)) for name in names)
        return
    pool = ThreadPoolExecutor(at_once)
    try:
        futures: dict[Future[Row], str] = {pool.submit(_row_of_process, name, settings, argv): name for name in names}
        yield from ((futures[future], future.result()) for future in as_completed(futures))
    except BaseException:  # Ctrl-C reaches the processes too where it comes from a terminal, a signal does not
        pool.shutdown(wait=False, cancel_futures=True)
        for running in multiprocessing.active_children():
            running.terminate()
        raise
    pool.shutdown()


def _row_of_process(name: str, settings: Config, argv: Sequence[str]) -> Row:
    """The row of a study that runs in a process of its own."""
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=end_with_parent) as pool:
        try:
            return pool.submit(_row_on_one_thread, name, settings, argv).result()
        except BrokenProcessPool:
            return _failed(name, "failed", "its process was ended, perhaps for lack of memory")


def _row_on_one_thread(name: str, settings: Config, argv: Sequence[str]) -> Row:
    from mulde.engine import process

    process.start()
    print_in_any_encoding()
    with logged_progress(), short_warnings(), process.threads(1):
        return _row(name, settings, argv)


def _row(name: str, settings: Config, argv: Sequence[str]) -> Row:
    """The row of a study, also of one that fails."""
    from mulde.vision.ablation import overview

    try:
        return overview.row(run_study(name, settings, argv))
    except MissingExtra as error:
        announce(f"{name} is left out: {error}")
        return _failed(name, "left out", str(error))
    except Exception as error:
        cli.explain_error(error, "ablate")
        kind = "" if isinstance(error, UsageError) else f"{type(error).__name__}: "
        return _failed(name, "failed", f"{kind}{error}")


def _failed(name: str, verdict: str, error: str) -> Row:
    from mulde.vision.ablation import overview

    return overview.failed(name, catalogue.fields_of_methods().get(name, ""), verdict, error)
