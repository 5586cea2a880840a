"""The graph of a stored model: the one beside its weights, another one given for it, and how they differ.

A run folder holds the graph that its model was trained on, in the files of `kge_data.packed`, as a bundle does. The
name or path that it was loaded by is only compared with it. Run folders of earlier versions have no such files: their
graph is loaded again. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kge_data import packed
from kge_data.comparison import difference, with_ids_of
from kge_data.errors import DataError
from kge_data.filters import KnownAnswers
from kge_data.loading import load as load_graph
from kge_data.published import catalogue
from kge_data.tripleset import SPLITS, TripleSet
from mulde.errors import UsageError
from mulde.kge.storage import bundle
from mulde.kge.storage.description import GRAPH_FILES, describe
from mulde.kge.storage.recommended import DESCRIPTION
from mulde.schema import contents
from mulde.storage import archive

FILES = (packed.ENTITIES, packed.RELATIONS, packed.KNOWN)
Tell = Callable[[str], object]  # receives remarks


def warn(remark: str) -> None:
    """Issue a remark as a Python warning."""
    warnings.warn(remark, stacklevel=3)


def ignore(remark: str) -> None:
    """Do nothing with a remark."""


def graph_of(model: Path | str, data: str | None = None, tell: Tell = warn) -> TripleSet:
    """The graph of a model, with the model's ids.

    Parameters
    ----------
    model
        Run folder, bundle, or name of a pretrained model.
    data
        Name or path of another graph to use in its place. Triples with names that the model does not know are left
        out.
    tell
        Receives a sentence if ``data``, or what the graph was loaded from, differs from the graph of training.

    Raises
    ------
    UsageError
        If the files of the graph are damaged, most triples of ``data`` have names that the model does not know, or the
        graph of a run folder of an earlier version is not found or has other names.
    kge_data.DataError
        If ``data`` is not found.
    """
    place, description = bundle.locate(model), describe(model)
    own = stored_graph(place, description)
    if data is not None:
        return _given(model, description, own, load_graph(data), data, tell)
    if own is None:
        graph = _from_source(model, description)
        if graph.checksum != description["data"]["checksum"]:
            tell(f"{graph.name} has other triples than the graph of the training; {graph.name} is used")
        return graph
    if not bundle.is_bundle(place):
        _compare_source(description, own, tell)
    return own


def compared(model: Path | str, graph: TripleSet) -> str:
    """How a graph differs from the one that a model was trained on, in words; empty if it is the same."""
    description = describe(model)
    if graph.checksum == description["data"]["checksum"]:
        return ""
    own = stored_graph(bundle.locate(model), description)
    return "other triples" if own is None or not len(own.train) else str(difference(graph, own))


def seen_in_training(model: Path | str, graph: TripleSet, split: str) -> int:
    """How many triples of a split a model was trained on, for a graph with its ids; 0 where that is not stored."""
    own = stored_graph(bundle.locate(model), describe(model))
    return 0 if own is None else int(KnownAnswers(own.train).contains(*getattr(graph, split).T).sum())


def refuse_no_triples(model: Path | str, graph: TripleSet, task: str) -> None:
    """Raise UsageError if a bundle was packed without the triples of its graph."""
    if not any(len(getattr(graph, split)) for split in SPLITS):
        raise UsageError(
            f"{model} was packed without the triples of {graph.name}, and {task} needs them; give the graph with --data"
        )


def trained_on(model: Path | str) -> TripleSet:
    """The graph that a model was trained on.

    Raises
    ------
    UsageError
        If it is not stored and no longer found.
    """
    place, description = bundle.locate(model), describe(model)
    if (own := stored_graph(place, description)) is not None:
        return own
    graph = _from_source(model, description)
    if graph.checksum != description["data"]["checksum"]:
        raise UsageError(
            f"{graph.name} has the names, but not the triples that model {model} was trained on, and its graph "
            "prior depends on them; pass the right graph"
        )
    return graph


def stored_graph(place: Path, description: dict[str, Any]) -> TripleSet | None:
    """The graph beside a model; None if there is none.

    Raises
    ------
    UsageError
        If it is damaged or of another model.
    """
    again = "; the files are damaged or belong to another model; repeat the training command, which writes them again"
    known = True
    if bundle.is_bundle(place):
        found = bundle.read(place)
        graph, known, again = found.graph(), found.has_triples, f"; {archive.DAMAGED}"
    elif all(os.path.lexists(place / name) for name in FILES):
        files = _files(place, description)
        for name, digest in description.get(GRAPH_FILES, {}).items():
            if hashlib.sha256(files.get(name, b"")).hexdigest() != digest:
                raise UsageError(f"{place / name}: its checksum is not the one in {DESCRIPTION}{again}")
        try:
            graph = packed.unpack(description["data"]["name"], files)
        except DataError as error:
            raise UsageError(f"{place}: {error}{again}") from error
    else:
        return None
    if names_checksum(graph) != description["names"] or (known and graph.checksum != description["data"]["checksum"]):
        raise UsageError(f"{place}: expected the graph that the model was trained on, found another one{again}")
    return graph


def _files(place: Path, description: dict[str, Any]) -> dict[str, bytes]:
    """The files of the graph in a run folder, as long as names may be."""
    counts = {packed.ENTITIES: description["num_entities"], packed.RELATIONS: description["num_relations"]}
    files = {}
    for name in FILES:
        with archive.Folder(place).open(name) as stream:
            files[name] = stream.whole(contents.most_of_names(counts[name]) if name in counts else None)
    return files


def names_checksum(graph: TripleSet) -> str:
    """SHA-256 over entity and relation names in id order."""
    text = "\n".join([*graph.entities, "", *graph.relations])
    if text.count("\n") != graph.num_entities + graph.num_relations or "" in graph.entities or "" in graph.relations:
        text = json.dumps([graph.entities, graph.relations])  # of names with line feeds, or empty ones
    return hashlib.sha256(text.encode()).hexdigest()


def refuse_other_names(model: Path | str, description: dict[str, Any], graph: TripleSet) -> None:
    """Raise UsageError if a graph has other names, or other ids, than the one that a model was trained on."""
    if description["names"] != names_checksum(graph):
        raise UsageError(
            f"model {model} was trained on another list of names ({description['num_entities']:,} entities and "
            f"{description['num_relations']:,} relations of {description['data']['name']}, here "
            f"{graph.num_entities:,} and {graph.num_relations:,} of {graph.name}); its scores would belong to the "
            "wrong entities; pass the right graph"
        )


def _given(
    model: Path | str, description: dict[str, Any], own: TripleSet | None, graph: TripleSet, data: str, tell: Tell
) -> TripleSet:
    """A graph in place of a model's own, with the model's ids."""
    same_names = description["names"] == names_checksum(graph)
    if same_names and graph.checksum == description["data"]["checksum"]:
        return graph
    if own is None or (same_names and not len(own.train)):
        refuse_other_names(model, description, graph)
        tell(f"{data} has other triples than the graph of the training; {data} is used")
        return graph
    found = difference(graph, own)
    if not found.related:  # results would describe a small part of it
        raise UsageError(
            f"{data}: expected a graph with the names of model {model}, but {found.with_new_names:,} of its "
            f"{found.triples:,} triples have an entity or relation that the model does not know; give a graph of which "
            "it knows at least half, or leave out --data"
        )
    left_out = f"; triples left out for their new names: {found.with_new_names:,}" if found.with_new_names else ""
    what = str(found) if len(own.train) else "other names"
    tell(f"{data} differs from the graph of the training: {what}; {data} is used{left_out}")
    return graph if same_names else with_ids_of(graph, own)


def _from_source(model: Path | str, description: dict[str, Any]) -> TripleSet:
    """The graph by the name or path that it was loaded by for the training, with the same names."""
    source = description["data"]["source"]
    try:
        graph = load_graph(source, **description["data"].get("reading", {}))
    except DataError as error:
        raise UsageError(
            f"model {model} was trained on {source}, which is not found; pass the graph with --data ({error})"
        ) from error
    refuse_other_names(model, description, graph)
    return graph


def _compare_source(description: dict[str, Any], own: TripleSet, tell: Tell) -> None:
    """Tell how the source of a graph differs from it, if the source is there."""
    source = description["data"]["source"]
    if not source or (catalogue.has(source) and catalogue.record(source).checksum == own.checksum):
        return  # a graph from memory, or a published one, which does not change
    try:
        now = load_graph(source, download=False, **description["data"].get("reading", {}))
    except (UsageError, OSError):
        return
    if now.checksum == own.checksum:
        return
    found = difference(now, own)
    change = f"{found}; the graph of the training is used; train again to include the changes"
    other = "hardly any name in common; the graph of the training is used"
    tell(f"{source} differs from the graph of the training: {change if found.related else other}")
