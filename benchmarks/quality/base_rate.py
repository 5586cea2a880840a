"""Probabilities of lists of answers, at the base rate of a list and at that of the calibration set; pretrained models.

    python -m benchmarks.quality.base_rate            (about a minute; needs no data)

For queries of test, drawn by a seed, the candidates are the entities at this position of the relation in train, without
the answers in train and validation. The sum of the probabilities estimates how many of them are answers in test. Writes
``results/base_rate/``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.harness import records
from kge_data.filters import KnownAnswers
from kge_data.inverse import is_reciprocal, user_relation, with_reciprocals
from mulde.engine import process
from mulde.kge.evaluation.calibration import open_calibration
from mulde.kge.evaluation.candidate_sets import seen_in_training
from mulde.kge.inference.base_rate import odds_of_candidates
from mulde.kge.model.directions import score_both_directions
from mulde.kge.storage.bundle import locate
from mulde.kge.storage.run_folder import describe, graph_of, open_model

MODELS, QUERIES, TOP = ("umls-8", "wn18rr-32", "fb15k-237-32"), 300, 10


def measured(name: str) -> records.Record:
    """Sums of probabilities and numbers of answers over the candidates of some queries, and over the first ten."""
    graph, weights = graph_of(name), describe(Path(name))["weights"]
    model, seen, odds = open_model(name, graph), seen_in_training(graph), odds_of_candidates(graph)
    calibration = open_calibration(locate(name), weights, graph.num_relations)
    assert calibration is not None and odds is not None
    known = KnownAnswers(with_reciprocals(np.concatenate([graph.train, graph.valid])))
    test = with_reciprocals(graph.test)
    answers, queries = KnownAnswers(test), np.unique(test[:, :2], axis=0)
    drawn = np.random.default_rng(0).permutation(queries)[:QUERIES].tolist()
    every, first = np.zeros(4), []
    for entity, relation in drawn:
        candidates = np.setdiff1d(seen.of(relation), [*known.answers(entity, relation), entity])
        given, kind = np.full_like(candidates, entity), np.full_like(candidates, user_relation(relation))
        heads, tails = (candidates, given) if is_reciprocal(relation) else (given, candidates)
        scores = score_both_directions(model, heads, kind, tails)
        shifted = calibration.probabilities(kind, scores, np.full(len(kind), odds[relation]))
        columns = [np.ones(len(kind)), shifted, calibration.probabilities(kind, scores)]
        found = np.stack([*columns, np.isin(candidates, answers.answers(entity, relation))])
        every += found.sum(1)
        first.append(found[:, np.argsort(-shifted)[:TOP]].sum(1) / TOP)
    names = ("candidates", "at_base_rate_of_list", "at_base_rate_of_calibration", "answers")
    return {
        "model": name, "weights": weights, "seed": 0, "queries": len(drawn),
        "command": " ".join(["python", "-m", "benchmarks.quality.base_rate", *sys.argv[1:]]),
        "data": {"name": graph.name, "checksum": graph.checksum}, "sums": dict(zip(names, every.tolist(), strict=True)),
        "first_10": dict(zip(names[1:], np.mean(first, axis=0)[1:].tolist(), strict=True)), **records.environment(),
    }  # fmt: skip


def write_table(folder: Path) -> None:
    """A row for each model."""
    rows = [
        {
            "model": it["model"], "queries": it["queries"], "candidates": round(it["sums"]["candidates"]),
            "answers in test": round(it["sums"]["answers"]),
            "expected": round(it["sums"]["at_base_rate_of_list"]),
            "expected, calibration set": round(it["sums"]["at_base_rate_of_calibration"]),
            "precision at 10": f"{it['first_10']['answers']:.1%}",
            "mean p": f"{it['first_10']['at_base_rate_of_list']:.1%}",
            "mean p, calibration set": f"{it['first_10']['at_base_rate_of_calibration']:.1%}",
        }
        for it in records.read(folder)
    ]  # fmt: skip
    title = (
        "Answers in test among the candidates of test queries, and how many the probabilities lead to expect: at the "
        "base rate of a list, as `mulde predict` shows them, and at that of the calibration set. mean p: of the first "
        "ten."
    )
    records.write_table(folder, title, rows)


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=records.RESULTS / "base_rate", help="(default: results/base_rate)")
    options = parser.parse_args()
    process.start()
    records.write(options.out, map(measured, MODELS))
    write_table(options.out)


if __name__ == "__main__":
    main()
