"""The candidates that a user asks for: listed entities, a type, or what fits the relation. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kge_data.entity_files import EntityTypes, read_entities, read_types, types_of_graph
from kge_data.keys import Ids
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.candidate_sets import CandidateSets, same_for_all, seen_in_training
from mulde.kge.storage import bundle

Listed = Path | str | Sequence[str]
"""Path of a file with one name per line, or names."""


def chosen_candidates(
    graph: TripleSet,
    candidates: Listed | None = None,
    type: str | None = None,
    types: Path | None = None,
    typed: bool = False,
    *,
    model: Path | str | None = None,
) -> CandidateSets | None:
    """The candidates for heads and tails; None for all entities.

    Parameters
    ----------
    graph
        The graph.
    candidates
        A file or a list of names of entities.
    type
        The entities of one type.
    types
        File of lines "entity TAB type". None: the types in the model's bundle, or the classes of a graph from RDF.
    typed
        The entities seen at this position of the relation in train; with ``types``, all entities of their types.
    model
        The model, which may be a bundle with types.

    Raises
    ------
    UsageError
        If more than one choice is made, or there are no types.
    kge_data.DataError
        If a file has another form or an unknown entity, or no entity has the type.
    """
    if (candidates is not None) + (type is not None) + typed > 1:
        raise UsageError("candidates, type and typed exclude each other; give one of them")
    if types is not None and type is None and not typed:
        raise UsageError("a file of types belongs to type or typed; give one of them, too")
    if (found := entities_of(graph, candidates, type, types, model)) is not None:
        return same_for_all(found, "those listed" if type is None else f"those of the type {type}")
    if typed:
        if not len(graph.train):
            raise UsageError(
                "--typed needs the training triples, and this bundle was made without them; give the graph with --data"
            )
        return seen_in_training(graph, None if types is None else read_types(types, graph))
    return None


def entities_of(
    graph: TripleSet,
    names: Listed | None,
    type: str | None = None,
    types: Path | None = None,
    model: Path | str | None = None,
) -> Ids | None:
    """The entities (n,), ascending, of a file, a list of names or a type; None if neither is given.

    Parameters and errors are those of `chosen_candidates`.
    """
    if names is not None and type is not None:
        raise UsageError(f"a list of entities and the type {type} exclude each other; give one of them")
    if type is not None:
        return _types(graph, types, model).members(type)
    if isinstance(names, Path | str):
        return read_entities(Path(names), graph)
    if names is not None and not len(names):
        raise UsageError("the list of candidates is empty; name at least one entity")
    return None if names is None else np.unique([graph.entity_id(name) for name in names])


def _types(graph: TripleSet, types: Path | None, model: Path | str | None) -> EntityTypes:
    """The types in a file; without one, those in the model's bundle, or the classes of a graph from RDF."""
    if types is not None:
        return read_types(types, graph)
    place = None if model is None else bundle.locate(model)
    if place is not None and bundle.is_bundle(place):
        stored = bundle.read(place).types(graph)
        if stored is not None:
            return stored
    return types_of_graph(graph)
