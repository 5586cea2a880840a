"""Predictions for files of queries, in bounded memory. An interrupted call is continued by the next one.

The file is read in chunks. The answers to each chunk are written atomically to a part in ``<out>.parts``; equal queries
are scored once. When all parts exist they are joined to ``<out>``, and the folder is removed. A row that cannot be
answered has the reason in the column ``error``.
"""

from __future__ import annotations

import json
import warnings
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kge_data.tripleset import TripleSet
from mulde.differences import differences
from mulde.errors import UsageError
from mulde.files import (
    as_json,
    continued_folder,
    locked,
    read_json,
    refuse_existing,
    remove_folder,
    sha256_of,
    write_json,
)
from mulde.kge.evaluation.calibration import Calibration
from mulde.kge.inference.answer import Chunks, Settings
from mulde.kge.inference.answer_files import check_ending, join, write_part
from mulde.kge.inference.predictor import Predictor, predictor_of
from mulde.kge.inference.query_files import columns_of, count_and_digest, read_queries

if TYPE_CHECKING:
    from mulde.kge.model.kge_model import KGEModel

NOTE = "identity.json"  # in the folder of parts: what they were made of
BAR = "{desc} {percentage:3.0f}% |{bar:10}| {elapsed}, {remaining} left, {rate_noinv_fmt}"


@dataclass(frozen=True)
class Tally:
    """Counts of a file: queries, those refused among them, and answers."""

    queries: int
    refused: int
    answers: int


def answer_file(
    model: KGEModel | Predictor,
    graph: TripleSet,
    queries: Path,
    out: Path,
    settings: Settings,
    calibration: Calibration | None = None,
    progress: bool | None = None,
) -> Tally:
    """Answer a file of queries (`mulde.kge.inference.query_files`) in another (`mulde.kge.inference.answer_files`).

    Parameters
    ----------
    model, graph
        A model and its graph.
    queries
        The file of queries.
    out
        The file of answers. Columns: ``row`` (from 1), head, relation, tail, rank (not of whole triples), score,
        probability (with a calibration), ``known_in`` (the first split that contains the triple; not for a graph
        without triples) and ``error``. For a file of entities: row, entity, nearest, rank, distance, error.
    settings
        Options.
    calibration
        Calibration of the model.
    progress
        Whether to show a progress bar; None: if the error stream is a terminal.

    Raises
    ------
    UsageError
        If ``out`` exists, another process writes it, or its parts belong to other queries, another model or other
        settings.
    """
    predictor = predictor_of(model, graph)
    check_ending(out)
    refuse_existing(out)
    columns = columns_of(queries, settings.columns)
    total, digest = count_and_digest(queries)
    identity = {
        "queries": digest,
        **predictor.identity(),
        **({} if predictor.among is None else {"candidates": predictor.among.digest(predictor.num_relations)}),
        "graph": graph.checksum,
        **asdict(settings),
        "calibration": None if calibration is None else calibration.as_dict(),
    }
    folder = out.with_name(f"{out.name}.parts")
    _begin(folder, json.loads(json.dumps(identity)))
    chunks = Chunks(predictor, graph, settings, calibration)
    with locked(folder):
        if out.exists():  # another process has finished it since
            remove_folder(folder)
        refuse_existing(out)
        parts, tally = _write_parts(folder, chunks, queries, total, out.suffix, progress)
        try:
            join(parts, chunks.columns(columns), out)
        finally:
            if out.exists():  # also when interrupted since
                remove_folder(folder)  # another process may be about to lock it
    return tally


def _write_parts(
    folder: Path, chunks: Chunks, queries: Path, total: int, suffix: str, progress: bool | None
) -> tuple[list[Path], Tally]:
    """Write the parts that are missing; all parts in their order, and their counts together."""
    settings = chunks.settings
    parts, tallies, first = [], [], 1
    done = settings.chunk * len(list(folder.glob(f"*{suffix}")))
    with _bar(total, min(done, total), progress) as bar:
        for number, rows in enumerate(read_queries(queries, settings.chunk, settings.columns)):
            part = folder / f"{number:06}{suffix}"
            tally = _written(part)
            if tally is None:
                table = chunks.answer(rows, first)
                refused = sum(map(bool, table["error"]))
                tally = Tally(len(rows), refused, len(table["error"]) - refused)
                write_part(part, table)
                write_json(part.with_suffix(".json"), {"tally": asdict(tally), "sha256": sha256_of(part)})
                if bar is not None:
                    bar.update(len(rows))
            tallies.append(tally)
            parts.append(part)
            first += len(rows)
    return parts, Tally(*(sum(getattr(tally, name) for tally in tallies) for name in ("queries", "refused", "answers")))


def _written(part: Path) -> Tally | None:
    """The counts of a part that an earlier call has written; None if it is missing, or damaged, which is a warning."""
    try:
        about = read_json(part.with_suffix(".json")) or {}
        if "sha256" not in about or not part.exists():  # the counts are written last
            return None
        if sha256_of(part) == about["sha256"]:
            return Tally(**about["tally"])
        reason = f"{part}: does not match its checksum"
    except UsageError as error:
        reason = str(error)
    warnings.warn(f"{reason}; these answers are computed again", stacklevel=3)
    return None


def _bar(total: int, done: int, wanted: bool | None) -> Any:
    """A progress bar; None without tqdm, as in an installation for inference only."""
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    return tqdm(
        total=total, initial=done, desc="predict", unit=" queries", leave=False, dynamic_ncols=True,
        disable=None if wanted is None else not wanted, bar_format=BAR, smoothing=0.05,
    )  # fmt: skip


def _begin(folder: Path, identity: dict[str, Any]) -> None:
    """Make the folder of parts, or check that an existing one was made with the same arguments."""
    continued_folder(folder, NOTE, as_json(identity))
    if changes := differences(read_json(folder / NOTE) or {}, identity):
        raise UsageError(
            f"{folder} holds answers that were begun with other arguments; remove it, name another --out, or go "
            "back to the old ones:\n  " + "\n  ".join(changes)
        )
