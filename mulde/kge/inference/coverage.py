"""The quantiles of a model's answer sets: the stored ones, or those that are calibrated on validation and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.coverage import FILE, Coverage, open_coverage, save_coverage
from mulde.kge.evaluation.coverage_fit import FEWEST, fit_coverage
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage import bundle


def coverage_of(
    source: Path | str, model: KGEModel, graph: TripleSet, description: dict[str, Any], tell: Callable[[str], object]
) -> Coverage:
    """The quantiles of a model on disk.

    Parameters
    ----------
    source
        Run folder, bundle, or name of a pretrained model.
    model, graph
        The model, and the graph that it answers for.
    description
        Content of its ``model.json``.
    tell
        Receives a sentence if quantiles are calibrated.

    Raises
    ------
    UsageError
        If the stored quantiles are damaged, or none are stored and there are too few validation triples.
    """
    place, largest = bundle.locate(source), model.config.dim == description["model"]["dim"]
    stored = open_coverage(place, description["weights"], graph.num_relations) if largest else None
    if stored is not None and (len(graph.train) or not stored.filtered):
        return stored
    found = coverage_in_memory(model, graph, description["weights"])
    count = f"{len(graph.valid):,} validation triples"
    if not largest or graph.checksum != description["data"]["checksum"] or bundle.is_bundle(place):
        tell(f"sets were calibrated on half of {count}; the result is not kept, `mulde pack` makes a bundle with it")
        return found
    try:
        save_coverage(place, found)
        tell(f"sets were calibrated on half of {count}; the result is kept in {place / FILE}")
    except OSError as error:
        tell(f"sets were calibrated on half of {count}; the result is not kept ({place}: {error.strerror})")
    return found


def coverage_in_memory(model: KGEModel, graph: TripleSet, weights: str = "") -> Coverage:
    """The quantiles of a model, calibrated now; errors as for `coverage_of`."""
    if not len(graph.train):
        raise UsageError(
            f"a set needs the training and validation triples, and this bundle was made without the triples of "
            f"{graph.name}; give the graph with --data, or pack the model again"
        )
    found = fit_coverage(model, graph, weights)
    if found is None:
        raise UsageError(
            f"a set needs {FEWEST} validation triples that are not in train, and {graph.name} has fewer; leave out the "
            "coverage, or split the graph again"
        )
    return found
