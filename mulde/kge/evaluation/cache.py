"""Evaluation reports and ranks, kept in run folders and reused while model, graph and split are the same."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde import schema
from mulde.engine.provenance import fingerprint
from mulde.errors import UsageError
from mulde.files import make_folder, write_json
from mulde.kge.evaluation.link_prediction import POLICIES, LinkPrediction, Ranker, evaluate, uses_graph
from mulde.kge.evaluation.split_ranks import SplitRanks, read_ranks, write_ranks
from mulde.kge.model.kge_model import KGEModel
from mulde.metrics.ranks import HITS
from mulde.schema import contents


def cached_report(
    ranker: Ranker, graph: TripleSet, folder: Path, split: str, known: KnownAnswers | None = None, name: str = ""
) -> dict[str, Any]:
    """Report of a split, read from ``<name or split>.json`` in a folder, or computed and written there.

    The ranks are written beside it, see `cached_ranks`. Files that were made with other weights, other triples or
    another split are replaced.
    """
    path = folder / f"{name or split}.json"
    identity = {"weights": weights_checksum(ranker), "checksum": graph.checksum, "split": split}
    stored = _read(path)
    if identity.items() <= stored.items() and read_ranks(_ranks_path(path), identity) is not None:
        return stored
    found, only = _evaluated(ranker, graph, split, known)
    report = {"weights": identity["weights"], **_report(ranker, found, only)}
    make_folder(folder)
    ranks = SplitRanks(*(each.ranks.ranks().astype(np.float32) for each in (found, only)))
    write_ranks(_ranks_path(path), ranks, identity)
    write_json(path, report)
    return report


def cached_ranks(folder: Path, report: Mapping[str, Any]) -> SplitRanks:
    """Ranks of a report that `cached_report` returned for this folder, under its default name."""
    identity = {name: report[name] for name in ("weights", "checksum", "split")}
    found = read_ranks(_ranks_path(folder / f"{report['split']}.json"), identity)
    assert found is not None  # written with the report
    return found


def full_report(
    ranker: Ranker,
    graph: TripleSet,
    split: str,
    known: KnownAnswers | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """All metrics of an evaluation as plain values for JSON; arguments as for `evaluate`.

    Returns
    -------
    `LinkPrediction.report`, and
    ``weights``: checksum of the ranker's weights;
    ``graph_prior``: whether the metrics include a graph prior or a mask of self-loops;
    ``condition``: which of them, see `condition`;
    ``embeddings_only``: metrics without both (equal to the others where ``graph_prior`` is false): realistic ones, the
    other tie policies, the interval, and the breakdowns by direction, seen entities, cardinality and relation.
    """
    found, only = _evaluated(ranker, graph, split, known, sample=sample, seed=seed)
    return {"weights": weights_checksum(ranker), **_report(ranker, found, only)}


def _evaluated(
    ranker: Ranker, graph: TripleSet, split: str, known: KnownAnswers | None, **sample: Any
) -> tuple[LinkPrediction, LinkPrediction]:
    """The evaluation of a ranker, and that of its embeddings only: the same object where nothing else counts."""
    found = evaluate(ranker, graph, split, known, **sample)
    if not uses_graph(ranker):
        return found, found
    return found, evaluate(ranker, graph, split, known, **sample, embeddings_only=True)


def _report(ranker: Ranker, found: LinkPrediction, only: LinkPrediction) -> dict[str, Any]:
    with_graph = only is not found
    return {
        **found.report(),
        "graph_prior": with_graph,
        "condition": condition(ranker),
        "embeddings_only": _without_graph(only),
    }


def condition(ranker: Ranker) -> str:
    """What an evaluation includes: "graph prior", "masked self-loops" (both, where there is a prior), or
    "embeddings only"."""
    if not uses_graph(ranker):
        return "embeddings only"
    return "masked self-loops" if isinstance(ranker, KGEModel) and ranker.graph_prior is None else "graph prior"


def weights_checksum(ranker: Ranker) -> str:
    """SHA-256 over all tensors of a ranker and the configurations of its modules."""
    checksum = hashlib.sha256()
    for module in [ranker] if isinstance(ranker, nn.Module) else vars(ranker).values():
        for part in module.modules():
            checksum.update(f"{type(part).__name__} {getattr(part, 'config', '')}\n".encode())
        checksum.update(fingerprint(module).encode())
    return checksum.hexdigest()


def _without_graph(found: LinkPrediction) -> dict[str, Any]:
    low, high = found.interval()
    return {
        **found.metrics(),
        **{policy: found.metrics(policy) for policy in POLICIES[1:]},
        "precision": {str(k): found.precision(k) for k in HITS},
        "mrr_interval_95": [low, high],
        "by_direction": found.by_direction(),
        "by_seen": found.by_seen(),
        "by_cardinality": found.by_cardinality(),
        "by_relation": found.by_relation(),
    }


def _ranks_path(report: Path) -> Path:
    return report.with_suffix(".ranks.npz")


def _read(path: Path) -> dict[str, Any]:
    """The content of a report; empty if the file is missing or damaged, which is a warning."""
    try:
        return schema.read(path, contents.EVALUATION) or {}
    except (UsageError, OSError) as error:
        warnings.warn(f"{error}; the evaluation is computed again", stacklevel=3)
        return {}
