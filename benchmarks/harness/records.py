"""Records of experiments: ``records.jsonl`` (a line per run) and ``table.md`` in a folder of ``results/``.

Records of trained models are those of `mulde.kge.training.record`, with the name of the run and the command.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mulde.engine import provenance
from mulde.files import write_atomically
from mulde.kge.training import record_file
from mulde.report.tables import table

Record = dict[str, Any]
RESULTS = Path("results")
FILE, TABLE = "records.jsonl", "table.md"


def read(folder: Path) -> list[Record]:
    """All records of an experiment, oldest first; empty where there are none.

    Parameters
    ----------
    folder
        Folder of the experiment, such as ``results/dimensions``.
    """
    return record_file.read(folder / FILE)


def write(folder: Path, records: Iterable[Record]) -> None:
    """Replace all records of an experiment."""
    record_file.write(folder / FILE, records)


def append(folder: Path, *records: Record) -> None:
    """Add records to an experiment, except those that it has already."""
    record_file.append(folder / FILE, *records)


def write_table(folder: Path, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of an experiment as Markdown and print it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / TABLE, f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}", flush=True)


def environment() -> Record:
    """Date, versions, hardware and threads of a measurement made now."""
    found = dict(provenance.environment())
    return {"hardware": found.pop("processor"), **found}


def figures(record: Record) -> Record:
    """The figures of a record that tables show: embeddings only, and with graph prior where there is one."""
    plain, prior = record["metrics"]["embeddings_only"], record["metrics"].get("with_prior", {})
    own = {"MRR": plain["mrr"], "Hits@1": plain.get("hits@1"), "Hits@10": plain.get("hits@10")}
    return {**own, "MRR with prior": prior.get("mrr"), "Hits@10 with prior": prior.get("hits@10")}


def means(records: Sequence[Record]) -> Record:
    """Means of :func:`figures` over seeds, with standard deviation and minimum of the MRR."""
    rows = [figures(record) for record in records]
    mrr = [row.pop("MRR") for row in rows]
    averaged = {name: mean([row[name] for row in rows]) for name in rows[0]}
    return {"MRR": mean(mrr), "sd": deviation(mrr), "min": min(mrr), **averaged}


def seconds(records: Sequence[Record]) -> int:
    """Mean training time of runs in whole seconds."""
    return round(statistics.fmean(round(record["seconds"]) for record in records))


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of values; None where one is missing."""
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there and len(there) == len(values) else None


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of values; None for a single one."""
    return statistics.stdev(values) if len(values) > 1 else None
