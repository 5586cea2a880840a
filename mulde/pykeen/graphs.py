"""Conversion of graphs: ``TripleSet`` <-> PyKEEN's ``TriplesFactory``, with the same ids on both sides.

No triple is dropped: entities that occur only in valid or test keep their ids, as in the literature.
"""

import csv
import gzip
import io
import os
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pykeen.triples import TriplesFactory

from kge_data.packed import RATIO, UNLIMITED
from kge_data.regular_files import open_regular
from kge_data.splitting import split
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError


def factories(graph: TripleSet) -> tuple[TriplesFactory, TriplesFactory, TriplesFactory]:
    """(training, validation, testing) for ``pipeline``; only the training factory adds inverse triples."""
    entities = {label: number for number, label in enumerate(graph.entities)}
    relations = {label: number for number, label in enumerate(graph.relations)}
    training, validation, testing = (
        TriplesFactory(
            mapped_triples=torch.from_numpy(getattr(graph, split)),
            entity_to_id=entities,
            relation_to_id=relations,
            create_inverse_triples=split == "train",
            metadata={"name": graph.name},
        )
        for split in ("train", "valid", "test")
    )
    return training, validation, testing


def triple_set(
    training: TriplesFactory,
    validation: TriplesFactory | None = None,
    testing: TriplesFactory | None = None,
    name: str | None = None,
    seed: int | None = 0,
) -> TripleSet:
    """The graph of one factory or three; ids stay, so that it fits the models trained on these factories.

    Parameters
    ----------
    training, validation, testing
        Factories with labels. A single one is split into train, valid and test, as a single file is: see
        `kge_data.splitting.split`.
    name
        Name of the graph.
    seed
        Seed of the split; None: a single factory is not split.

    Raises
    ------
    UsageError
        If a factory has no labels, ids have gaps, or the factories number entities or relations differently.
    kge_data.DataError
        If there are too few triples to split.
    """
    for factory in (training, validation, testing):
        if factory is not None and not isinstance(factory, TriplesFactory):
            raise UsageError(
                f"expected a TriplesFactory, which has labels, got {type(factory).__name__}; "
                "kge_data.from_triples(factory.mapped_triples) makes labels of its ids"
            )
    for other in (validation, testing):
        if other is not None and _numbering(other) != _numbering(training):
            raise UsageError(
                "validation and testing must number entities and relations as training does, but do not; "
                "read them with entity_to_id=training.entity_to_id, relation_to_id=training.relation_to_id"
            )
    graph = TripleSet(
        name or str(training.metadata.get("name", "pykeen")),
        _triples(training),
        _triples(validation),
        _triples(testing),
        _by_id("entities", training.entity_to_id),
        _by_id("relations", training.relation_to_id),
    )
    if seed is None or validation is not None or testing is not None:
        return graph
    train, valid, test = split(graph.train, seed)
    return replace(graph, train=train, valid=valid, test=test)


def read_factory(folder: Path | str, create_inverse_triples: bool = True) -> TriplesFactory:
    """A factory from the ``training_triples`` folder that PyKEEN writes, read as text: nothing is unpickled.

    Labels are read unchanged; ``TriplesFactory.from_path_binary`` converts "00260881" to a number.

    Raises
    ------
    UsageError
        If a file is missing or damaged, or the factory was saved without labels.
    """
    folder = Path(folder)
    entities, relations = (_labels(folder / f"{kind}_to_id.tsv.gz") for kind in ("entity", "relation"))
    path = folder / TriplesFactory.triples_file_name
    triples = np.array([[_id(number, path) for number in row] for row in _rows(path, 3)], np.int64).reshape(-1, 3)
    try:
        return TriplesFactory(
            mapped_triples=triples,
            entity_to_id=entities,
            relation_to_id=relations,
            create_inverse_triples=create_inverse_triples,
        )
    except ValueError as error:
        raise UsageError(f"{path}: expected ids that have labels, but {error}; copy the folder anew") from error


def _labels(path: Path) -> dict[str, int]:
    """Ids by label."""
    return {label: _id(number, path) for number, label in _rows(path, 2)}


def _id(text: str, path: Path) -> int:
    if len(text) > 10 or not (text.isascii() and text.isdigit()):
        raise UsageError(f"{path}: expected an id, found {text[:20]!r}; copy the folder anew")
    return int(text)


def _rows(path: Path, width: int) -> list[list[str]]:
    """The rows below the header of a compressed table."""
    try:
        with open_regular(path) as file, gzip.open(file) as stream:
            most = max(UNLIMITED, RATIO * os.fstat(file.fileno()).st_size)
            content = stream.read(most + 1)
        if len(content) > most:
            raise ValueError(f"it expands to more than {most:,} bytes")
        _, *rows = csv.reader(io.StringIO(content.decode(), newline=""), delimiter="\t")
    except FileNotFoundError as error:
        raise UsageError(f"{path}: not there; expected the triples and labels that PyKEEN saves") from error
    except UsageError:
        raise
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        raise UsageError(f"{path}: expected a compressed table, but {error}; copy the folder anew") from error
    wrong = next((row for row in rows if len(row) != width), None)
    if wrong is not None:
        raise UsageError(f"{path}: expected {width} columns, found {wrong}; copy the folder anew")
    return rows


def _triples(factory: TriplesFactory | None) -> NDArray[np.int64]:
    if factory is None:
        return np.empty((0, 3), dtype=np.int64)
    triples: NDArray[np.int64] = factory.mapped_triples.numpy()
    return triples


def _numbering(factory: TriplesFactory) -> tuple[Mapping[str, int], Mapping[str, int]]:
    return factory.entity_to_id, factory.relation_to_id


def _by_id(kind: str, numbers: Mapping[str, int]) -> tuple[str, ...]:
    labels = sorted(numbers, key=numbers.__getitem__)
    if [numbers[label] for label in labels] != list(range(len(labels))):
        raise UsageError(
            f"ids of {kind} must run from 0 to {len(labels) - 1} without gaps; make the factory with compact_id=True"
        )
    return tuple(str(label) for label in labels)
