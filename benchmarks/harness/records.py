"""A `mulde` command that leaves a record: what is on record is not run again, and what was interrupted continues."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.report.tables import table

Row = dict[str, Any]


def run(words: Sequence[str], folder: Path, record: Path) -> str:
    """Run `mulde WORDS --out FOLDER --save-record RECORD` unless the record is there; returns the command as typed.

    Ends the program with a sentence if the command fails.
    """
    words = ["mulde", *words, "--out", str(folder), "--save-record", str(record)]
    command = shlex.join(words)
    if not (record / "summary.json").exists():
        done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.DEVNULL)
        if done.returncode:
            sys.exit(f"{command}\nended with code {done.returncode}; the same command continues")
    return command


def read(record: Path) -> tuple[Row, Row]:
    """The summary of a record, and its test report."""
    summary, test = (json.loads((record / name).read_text(encoding="utf-8")) for name in ("summary.json", "test.json"))
    return summary, test


def quality(record: Path) -> Row:
    """Size and test figures of a record of one model, and how long its training took."""
    summary, test = read(record)
    own = summary["rows"][0]
    same = {name: own[name] for name in ("MRR", "hits@1", "hits@10", "best epoch", "seconds")}
    return {"MB": own["MB"], "vectors": by_vectors(test)["mrr"], **same, "threads": summary["settings"]["threads"]}


def write(out: Path, title: str, rows: Sequence[Row]) -> None:
    """``table.json`` and ``table.md`` in a folder of records; prints the table, too."""
    content = {"rows": list(rows), **environment()}
    write_atomically(out / "table.json", (json.dumps(content, indent=1) + "\n").encode())
    write_atomically(out / "table.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}", flush=True)


def by_vectors(test: Row) -> Row:
    """The metrics of a test report by vectors alone; older reports know no other."""
    found: Row = test.get("embeddings_only", test["realistic"])
    return found
