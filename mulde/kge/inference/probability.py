"""The calibration of a model for its predictions: the stored one, or one that is fitted on valid and kept.

A calibration is fitted once, when a probability is to be shown for the first time, and written beside the model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.calibration import FILE, Calibration, open_calibration, save_calibration
from mulde.kge.storage import bundle
from mulde.shell import command

if TYPE_CHECKING:
    from mulde.kge.model.kge_model import KGEModel

FEWEST = 50  # validation triples: with 50 the expected calibration error on UMLS is .055, with 98 or all 652 .042

_fitted: WeakKeyDictionary[Any, tuple[str, Calibration]] = WeakKeyDictionary()  # of models in memory


def calibration_of(
    source: Path | str,
    model: KGEModel,
    graph: TripleSet,
    description: dict[str, Any],
    tell: Callable[[str], object],
) -> Calibration | None:
    """The calibration of a model on disk.

    Parameters
    ----------
    source
        Run folder, bundle, or name of a pretrained model.
    model, graph
        The model and the graph that it answers for.
    description
        Content of its ``model.json``.
    tell
        Receives a sentence if a calibration is fitted, or why there is none.

    Returns
    -------
    The stored calibration; in a run folder without one, one that is fitted and stored. Of a model with several sizes
    that of the largest is stored, and that of another one is fitted. None in a bundle without one, for another graph
    than that of the training, or with fewer than 50 validation triples.

    Raises
    ------
    UsageError
        If the stored calibration is damaged or of other weights.
    """
    if model.config.dim != description["model"]["dim"]:
        return calibration_in_memory(model, graph)
    place, weights = bundle.locate(source), description["weights"]
    found = open_calibration(place, weights, graph.num_relations)
    if found is not None or graph.checksum != description["data"]["checksum"]:
        return found
    if bundle.is_bundle(place):
        again = command("pack", source)
        tell(f"no probabilities, because {source} holds no calibration; `{again}` makes a bundle with one")
        return None
    if (fitted := fit(model, graph, weights)) is None:
        if len(graph.valid) < FEWEST:
            tell(f"no probabilities: they need {FEWEST} validation triples, and {graph.name} has {len(graph.valid)}")
        return None
    count = f"{len(graph.valid):,} validation triples"
    try:
        save_calibration(place, fitted)
        tell(f"probabilities were fitted on {count}; the calibration is kept in {place / FILE}")
    except OSError as error:
        tell(f"probabilities were fitted on {count}; the calibration is not kept ({place}: {error.strerror})")
    return fitted


def calibration_in_memory(model: KGEModel, graph: TripleSet) -> Calibration | None:
    """The calibration of a model in memory, fitted at the first call with these weights and triples."""
    from mulde.engine.provenance import fingerprint

    identity = f"{fingerprint(model)} {graph.checksum}"
    if model not in _fitted or _fitted[model][0] != identity:
        fitted = fit(model, graph, identity)
        if fitted is None:
            return None
        _fitted[model] = identity, fitted
    return _fitted[model][1]


def fit(model: KGEModel, graph: TripleSet, weights: str) -> Calibration | None:
    """A calibration; None with fewer than 50 validation triples, or where no false ones can be drawn."""
    from mulde.kge.evaluation.triple_classification import calibrate

    if len(graph.valid) < FEWEST:
        return None
    try:
        return calibrate(model, graph, weights)
    except UsageError:
        return None
