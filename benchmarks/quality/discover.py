"""Missing facts: time, memory, and how many of the first 1,000 the validation and test splits confirm.

    python -m benchmarks.quality.discover                      observed candidates, both graphs
    python -m benchmarks.quality.discover --candidates either --model wn18rr-32
    python -m benchmarks.quality.discover --table              the table again, from the records

`mulde.discover` with ``known="train"``: validation and test triples are not left out, and count as confirmed. The
probabilities that order the facts are fitted to the validation split, so only the share in test is of triples that
nothing was fitted to. Chance is the share of all candidates that are in these splits. Each search runs in a process of
its own, with the embeddings only and with the graph prior. Writes ``results/discover/``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import records
from mulde.engine import process
from mulde.kge.inference.candidates import Candidates
from mulde.kge.inference.discover import discover
from mulde.kge.storage.run_folder import describe, graph_of, open_model
from mulde.report.tables import table

MODELS, TOP = ("wn18rr-32", "fb15k-237-32"), 1_000
CONDITIONS = {"embeddings_only": False, "with_prior": True}


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, kind: Any, condition: str, threads: int | None) -> records.Record:
    """The record of one search."""
    process.start(keep_memory=False)
    graph, description = graph_of(name), describe(Path(name))
    model = open_model(name, graph)
    loaded = peak()
    began, used = time.monotonic(), time.process_time()
    facts = discover(model, graph, top=TOP, candidates=kind, known="train", graph_prior=CONDITIONS[condition])
    seconds, used = time.monotonic() - began, time.process_time() - used
    some = Candidates(graph, kind)
    held_out = {split: int(some.contains(getattr(graph, split)).sum()) for split in ("valid", "test")}
    found = {split: sum(fact.known == split for fact in facts) for split in held_out}
    probabilities = [fact.probability for fact in facts if fact.probability is not None]
    return {
        "model": name, "graph": graph.name, "checksum": graph.checksum, "weights": description["weights"], "seed": 0,
        "candidates": kind, "pairs": facts.candidates, "condition": condition, "top": TOP,
        "found": found, "share": sum(found.values()) / len(facts),
        "chance": sum(held_out.values()) / facts.candidates, "held_out_candidates": held_out,
        "held_out": {split: len(getattr(graph, split)) for split in held_out},
        "expected_in_valid": float(np.sum(probabilities)), "relations": len({fact.relation for fact in facts}),
        "seconds": seconds, "processor_seconds": used, "peak_MB": peak(), "peak_MB_before": loaded,
        **records.environment(),
    }  # fmt: skip


def rows(found: list[records.Record]) -> list[records.Record]:
    """A row for each model and kind of candidates; the conditions have columns of their own."""
    shown: dict[tuple[str, str], records.Record] = {}
    for record in found:
        row = shown.setdefault((record["model"], record["candidates"]), {
            "model": record["model"], "candidates": record["candidates"], "pairs": record["pairs"],
            "chance": f"{record['chance']:.1e}",
        })  # fmt: skip
        suffix = {"embeddings_only": "", "with_prior": " (prior)"}[record["condition"]]
        for split in ("valid", "test"):
            row[f"in {split}{suffix}"] = f"{record['found'][split] / record['top']:.1%}"
        row[f"s{suffix}"] = round(record["seconds"])
        row[f"peak MB{suffix}"] = round(record["peak_MB"])
    return list(shown.values())


def write_table(folder: Path) -> None:
    """Write ``table.md`` from the records."""
    found = records.read(folder)
    threads = ", ".join(sorted({str(record["threads"]) for record in found}))
    title = (
        f"The first {TOP:,} facts of `mulde discover --known train`, share that is in the validation and in the test "
        "split, with the embeddings only and (prior) with the graph prior. chance: share of all candidates that is in "
        f"either split. {threads} thread(s)."
    )
    records.write_table(folder, title, rows(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help=f"(default: {' and '.join(MODELS)})")
    parser.add_argument("--candidates", default="observed", choices=("observed", "either", "all"))
    parser.add_argument("--threads", type=int, default=None, help="(default: all)")
    parser.add_argument("--condition", choices=sorted(CONDITIONS), help="one search, printed as JSON")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "discover", help="folder of the result")
    options = parser.parse_args()
    if options.condition:
        print(json.dumps(measure(options.model[0], options.candidates, options.condition, options.threads)))
        return
    for name in () if options.table else options.model or MODELS:
        for condition in CONDITIONS:
            command = [sys.executable, "-m", "benchmarks.quality.discover", "--model", name, "--condition", condition]
            command += ["--candidates", options.candidates]
            command += [] if options.threads is None else ["--threads", str(options.threads)]
            record = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            record = {"command": " ".join(["python", *command[1:]]), **record}
            same = ("model", "candidates", "condition")
            others = [it for it in records.read(options.out) if any(it[key] != record[key] for key in same)]
            records.write(options.out, [*others, record])
            print(table(rows([record])), flush=True)
    write_table(options.out)


if __name__ == "__main__":
    main()
