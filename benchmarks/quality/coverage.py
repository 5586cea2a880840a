"""Coverage and size of answer sets on test; pretrained models.

    python -m benchmarks.quality.coverage                   (some minutes; needs no data)
    python -m benchmarks.quality.coverage --model umls-8    one model; the others keep their records
    python -m benchmarks.quality.coverage --table           the table again, from the records

Sets are calibrated as `mulde predict --coverage` does it (`mulde/kge/evaluation/coverage.py`): on half of validation,
with the graph prior fitted anew on the other half. Test triples that train contains are left out. Candidates are those
that train does not contain as answers. Writes ``results/coverage/``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import records
from kge_data.inverse import with_reciprocals
from mulde.engine import process
from mulde.kge.evaluation.coverage import LEVELS, OTHERS, TOPS
from mulde.kge.evaluation.coverage_fit import (
    another_prior,
    candidate_scores,
    fit_coverage,
    new_triples,
    train_answers,
)
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.storage.run_folder import describe, graph_of, open_model

MODELS = ("umls-8", "wn18rr-32", "fb15k-237-roth-32", "fb15k-237-32")
SHOWN = (0.5, 0.8, 0.9, 0.95)


def measured(name: str) -> records.Record:
    """Coverage and sizes of the sets of all test queries, at every level."""
    graph, began = graph_of(name), time.process_time()
    model = open_model(name, graph)
    quantiles = fit_coverage(model, graph)
    assert quantiles is not None
    fitted = time.process_time() - began
    queries, prior = with_reciprocals(new_triples(graph, "test")), None
    if quantiles.graph_prior is not None:
        prior = GraphPrior(torch.tensor(quantiles.graph_prior, dtype=model.entity.dtype), graph.train)
    limits = torch.from_numpy(np.stack([quantiles.quantiles(queries[:, 1], level) for level in LEVELS]))
    inside, sizes = np.empty((2, len(LEVELS), len(queries)))
    ranks = np.empty(len(queries))
    with another_prior(model, prior):
        for rows, scores in candidate_scores(model, queries[:, 0], queries[:, 1], train_answers(graph)):
            own, total = scores.gather(1, torch.from_numpy(queries[rows, 2]).unsqueeze(1)), scores.logsumexp(1)
            ranks[rows] = (scores >= own).sum(1)
            for place, limit in enumerate(limits[:, rows]):
                least = (total - limit).unsqueeze(1)
                inside[place, rows] = (own >= least)[:, 0]
                sizes[place, rows] = ((scores >= least) & scores.isfinite()).sum(1)
    levels = {
        str(level): {
            "coverage": float(inside[place].mean()),
            "standard_error": float(inside[place].reshape(2, -1).mean(0).std() / (len(queries) / 2) ** 0.5),
            "size": dict(zip(("quarter", "median", "three_quarters"), _quarters(sizes[place]), strict=True)),
            "mean_size": float(sizes[place].mean()),
        }
        for place, level in enumerate(LEVELS)
    }
    return {
        "model": name, "weights": describe(Path(name))["weights"], "seed": 0,
        "command": " ".join(["python", "-m", "benchmarks.quality.coverage", *sys.argv[1:]]),
        "data": {"name": graph.name, "checksum": graph.checksum}, "entities": graph.num_entities,
        "calibration_triples": sum(quantiles.groups[name].triples for name in quantiles.groups) // 2,
        "own_quantiles": len(quantiles.groups) - len(OTHERS), "test_triples": len(queries) // 2, "levels": levels,
        "coverage_of_top": {str(k): float((ranks <= k).mean()) for k in TOPS},
        "processor_seconds_of_calibration": fitted, **records.environment(),
    }  # fmt: skip


def _quarters(sizes: np.ndarray) -> list[float]:
    return [float(each) for each in np.quantile(sizes, (0.25, 0.5, 0.75))]


def write_table(folder: Path) -> None:
    """A row for each model and coverage."""
    rows = []
    for it in records.read(folder):
        for level in SHOWN:
            found = it["levels"][str(level)]
            rows.append({
                "model": it["model"], "promised": f"{level:.0%}", "on test": f"{found['coverage']:.1%}",
                "standard error": f"{found['standard_error']:.1%}", "median size": round(found["size"]["median"]),
                "middle half": f"{found['size']['quarter']:,.0f} to {found['size']['three_quarters']:,.0f}",
                "mean size": round(found["mean_size"]), "entities": it["entities"],
                "first 10": f"{it['coverage_of_top']['10']:.1%}", "calibration triples": it["calibration_triples"],
            })  # fmt: skip
    title = (
        "Answer sets on the test split, both directions, complete model, filtered by train only. first 10: coverage "
        "of the first ten answers. The promise is marginal, for triples drawn like those of validation; one "
        "calibration each, on half of validation. The standard error is that of the test triples; the choice of the "
        "half adds to it."
    )
    records.write_table(folder, title, rows)


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="run folder, bundle or name (default: pretrained models)")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "coverage", help="(default: results/coverage)")
    options = parser.parse_args()
    process.start()
    for name in () if options.table else options.model or MODELS:
        found = measured(name)
        records.write(options.out, [*(it for it in records.read(options.out) if it["model"] != name), found])
    write_table(options.out)


if __name__ == "__main__":
    main()
