"""Millions of questions from a file to a file, in bounded memory, continued where it was stopped.

The file is read in chunks; each chunk is answered (equal queries once, relation by relation) and written whole into
``<out>.parts``. When all are there they become ``<out>``, and the folder goes. Row by row: what cannot be answered has
its reason in the column ``error``, and the rest is answered.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kge_data.tripleset import TripleSet
from mulde.engine.provenance import differences, fingerprint
from mulde.errors import UsageError
from mulde.files import write_atomically
from mulde.kge.evaluation.calibration import Calibration
from mulde.kge.inference.answer import Chunks, Settings
from mulde.kge.inference.answer_files import check_ending, join, write_part
from mulde.kge.inference.query_files import columns_of, count_and_digest, read_questions
from mulde.kge.model.kge_model import KGEModel

BAR = "{desc} {percentage:3.0f}% |{bar:10}| {elapsed}, {remaining} left, {rate_noinv_fmt}"


@dataclass(frozen=True)
class Tally:
    """What was done: questions read, of which refused; answers written."""

    questions: int
    refused: int
    answers: int


def answer_file(
    model: KGEModel,
    graph: TripleSet,
    questions: Path,
    out: Path,
    settings: Settings,
    calibration: Calibration | None = None,
    progress: bool | None = None,
) -> Tally:
    """Answer a file of questions (`mulde.kge.inference.query_files`) into another (`mulde.kge.inference.answer_files`).

    Columns: ``row`` (from 1), head, relation, tail, rank, score, the split in which the graph knows the triple
    (``known``), and ``error``; with a calibration also the probability of whole triples. For a file of entities: row,
    entity, nearest, rank, distance, error. ``progress``: as for the trainer.

    Raises UsageError where ``out`` exists, or its parts belong to other questions, another model or other settings.
    """
    check_ending(out)
    if out.exists():
        raise UsageError(f"{out} exists and is not overwritten; remove it, or name another file")
    columns = columns_of(questions)
    total, digest = count_and_digest(questions)
    identity = {
        "questions": digest,
        "model": fingerprint(model),
        "configuration": {"scorer": model.scorer.__name__, **asdict(model.config)},
        "graph": graph.checksum,
        **asdict(settings),
        "calibration": None if calibration is None else calibration.as_dict(),
    }
    folder = out.with_name(f"{out.name}.parts")
    _begin(folder, json.loads(json.dumps(identity)))
    chunks = Chunks(model, graph, settings, calibration)
    parts, tallies, first = [], [], 1
    done = settings.chunk * len(list(folder.glob(f"*{out.suffix}")))
    bar = tqdm(
        total=total, initial=min(done, total), desc="predict", unit=" queries", leave=False, dynamic_ncols=True,
        disable=None if progress is None else not progress, bar_format=BAR, smoothing=0.05,
    )  # fmt: skip
    with bar:
        for number, rows in enumerate(read_questions(questions, settings.chunk)):
            part = folder / f"{number:06}{out.suffix}"
            count = part.with_suffix(".json")
            if not part.exists():
                table = chunks.answer(rows, first)
                refused = sum(map(bool, table["error"]))
                tally = Tally(len(rows), refused, len(table["error"]) - refused)
                write_atomically(count, json.dumps(asdict(tally)).encode())
                write_part(part, table)
                bar.update(len(rows))
            tallies.append(Tally(**json.loads(count.read_text(encoding="utf-8"))))
            parts.append(part)
            first += len(rows)
    join(parts, chunks.columns(columns), out)
    shutil.rmtree(folder)
    return Tally(*(sum(getattr(tally, name) for tally in tallies) for name in ("questions", "refused", "answers")))


def _begin(folder: Path, identity: dict[str, Any]) -> None:
    """Make the folder of parts, or see that the one that is there belongs to the same work."""
    note = folder / "identity.json"
    if note.exists():
        if changes := differences(json.loads(note.read_text(encoding="utf-8")), identity):
            raise UsageError(
                f"{folder} holds answers that were begun otherwise; remove it, name another --out, or go back to:\n  "
                + "\n  ".join(changes)
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(note, json.dumps(identity, indent=2).encode())
