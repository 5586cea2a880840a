"""A folder, or a single file, of triples -> TripleSet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kge_data.errors import DataError
from kge_data.formats._compressed import SUFFIXES, ending, opened
from kge_data.formats._reading import Columns, Vocabulary, comma_separated, encode, tab_separated
from kge_data.splitting import split
from kge_data.tripleset import SPLITS, TripleSet

SPLIT_NAMES = {"train": ("train",), "valid": ("valid", "validation", "dev"), "test": ("test",)}
ENTITY_TEXT = ("entity2text.txt", "entities_en.json")
RELATION_TEXT = ("relation2text.txt", "relations_en.json")
ENDINGS = (".txt", ".tsv", ".csv", ".nt", ".ttl", ".parquet")


def open_folder(folder: Path, name: str) -> TripleSet:
    """The graph in a folder with train.*, valid.* and test.*; readable names beside them are used.

    Names come from entity2text.txt and relation2text.txt (identifier<TAB>text) or from entities_en.json and
    relations_en.json (identifier -> {"label": text}, as CoDEx has them).
    Raises DataError where a split is missing, empty, there twice, or damaged.
    """
    entities, relations = Vocabulary(), Vocabulary()
    texts: dict[str, str] = {}
    splits = []
    for part in SPLITS:
        path = split_file(folder, part)
        triples = encode(read(path, texts), entities, relations)
        if len(triples) == 0:
            raise DataError(f"{path}: holds no triple; put at least one into each of train, valid and test.")
        splits.append(triples)
    entity_names = texts | read_names(folder, ENTITY_TEXT)
    return _numbered(name, splits, entities, relations, entity_names, texts | read_names(folder, RELATION_TEXT))


def open_file(path: Path, name: str, seed: int) -> TripleSet:
    """The graph in a single file, split by seed: see `kge_data.splitting.split`."""
    entities, relations = Vocabulary(), Vocabulary()
    texts: dict[str, str] = {}
    triples = encode(read(path, texts), entities, relations)
    if len(triples) == 0:
        raise DataError(f"{path}: holds no triple; check that it is the right file.")
    whole = _numbered(name, [triples, triples[:0], triples[:0]], entities, relations, texts, texts)
    try:
        train, valid, test = split(whole.train, seed)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return replace(whole, train=train, valid=valid, test=test)


def _numbered(
    name: str,
    splits: Sequence[NDArray[np.int64]],
    entities: Vocabulary,
    relations: Vocabulary,
    entity_text: Mapping[str, str],
    relation_text: Mapping[str, str],
) -> TripleSet:
    """The TripleSet, with the numbers of first appearance replaced by the order of the identifiers."""
    entity_labels, new_entity = _sorted(entities)
    relation_labels, new_relation = _sorted(relations)
    for triples in splits:
        triples[:, [0, 2]] = new_entity[triples[:, [0, 2]]]
        triples[:, 1] = new_relation[triples[:, 1]]
    train, valid, test = splits
    return TripleSet(
        name,
        train,
        valid,
        test,
        entity_labels,
        relation_labels,
        {number: entity_text[label] for number, label in enumerate(entity_labels) if label in entity_text},
        {number: relation_text[label] for number, label in enumerate(relation_labels) if label in relation_text},
    )


def _sorted(vocabulary: Vocabulary) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The labels in ascending order, and for each old number the new one."""
    labels = tuple(sorted(vocabulary))
    new = np.empty(len(labels), dtype=np.int64)
    new[[vocabulary[label] for label in labels]] = np.arange(len(labels))
    return labels, new


def split_file(folder: Path, split: str) -> Path:
    """The one file that holds a split. Raises DataError when there is none, or more than one."""
    endings = [format_ + packed for format_ in ENDINGS for packed in ("", *SUFFIXES)]
    names = [stem + end for stem in SPLIT_NAMES[split] for end in endings]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise DataError(
            f"{folder}: no file for the split {split}; expected {split}.txt (or {', '.join(ENDINGS[1:])}, "
            f"each also with {' or '.join(SUFFIXES)}), found {held}."
        )
    if len(found) > 1:
        raise DataError(f"{folder}: {' and '.join(path.name for path in found)} could both be {split}; keep one.")
    return found[0]


def files_of(folder: Path) -> list[Path]:
    """Every file that `open_folder` reads."""
    names = [folder / name for name in (*ENTITY_TEXT, *RELATION_TEXT)]
    return [split_file(folder, part) for part in SPLITS] + [path for path in names if path.is_file()]


def read(path: Path, texts: dict[str, str]) -> Iterator[Columns]:
    """The triples of one file in any format; readable names found in it (RDF) go into `texts`."""
    format_ = ending(path)
    if format_ in (".nt", ".ttl"):
        from kge_data.formats.rdf import read_rdf

        return read_rdf(path, texts)
    if format_ == ".parquet":
        from kge_data.formats.parquet import read_parquet

        return read_parquet(path)
    if format_ == ".csv":
        return comma_separated(path)
    if format_ in ENDINGS:
        return tab_separated(path)
    raise DataError(f"{path}: files that end in {format_ or 'nothing'!r} are not known; use {', '.join(ENDINGS)}.")


def read_names(folder: Path, candidates: tuple[str, ...]) -> dict[str, str]:
    """Identifier -> readable name from the first of these files that exists; empty when none does."""
    for path in (folder / name for name in candidates):
        if path.suffix == ".json" and path.is_file():
            return _json_names(path)
        if path.is_file():
            return _text_names(path)
    return {}


def _text_names(path: Path) -> dict[str, str]:
    names = {}
    with opened(path) as stream:
        for line_number, line in enumerate(stream, 1):
            try:
                identifier, tab, text = line.decode().rstrip("\r\n").partition("\t")
            except UnicodeDecodeError as error:
                where = f"{path}, line {line_number}"
                raise DataError(f"{where}: not valid UTF-8: {line!r}. Save the file as UTF-8.") from error
            if not tab and identifier:
                raise DataError(
                    f"{path}, line {line_number}: expected identifier<TAB>name, found {identifier!r}. "
                    f"Correct or remove the line."
                )
            if text:
                names[identifier] = text
    return names


def _json_names(path: Path) -> dict[str, str]:
    try:
        with opened(path) as stream:
            entries = json.load(stream)
        return {identifier: entry["label"] for identifier, entry in entries.items() if entry.get("label")}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise DataError(f'{path}: expected {{identifier: {{"label": name}}}} in JSON; {error}.') from error
