"""A folder, or a single file, of triples -> TripleSet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from kge_data.errors import DataError
from kge_data.formats import parquet, rdf, text
from kge_data.formats._compressed import SUFFIXES, ending, opened
from kge_data.numbering import Columns, Vocabulary, encode, numbered, numbered_and_split
from kge_data.tripleset import SPLITS, TripleSet

SPLIT_NAMES = {"train": ("train",), "valid": ("valid", "validation", "dev"), "test": ("test",)}
ENTITY_TEXT = ("entity2text.txt", "entities_en.json")
RELATION_TEXT = ("relation2text.txt", "relations_en.json")
READERS = {end: format_.read for format_ in (text, rdf, parquet) for end in format_.ENDINGS}
ENDINGS = tuple(READERS)


def open_folder(folder: Path, name: str) -> TripleSet:
    """The graph in a folder with train.*, valid.* and test.*, and with readable names if it has them.

    Names come from entity2text.txt and relation2text.txt (identifier<TAB>text) or from entities_en.json and
    relations_en.json (identifier -> {"label": text}, the format of CoDEx).

    Raises
    ------
    DataError
        If a split is missing, empty or damaged, or there are two files for it.
    """
    entities, relations = Vocabulary(), Vocabulary()
    names: dict[str, str] = {}
    splits = []
    for part in SPLITS:
        path = split_file(folder, part)
        triples = encode(read(path, names), entities, relations)
        if len(triples) == 0:
            raise DataError(f"{path}: holds no triple; train, valid and test need at least one each.")
        splits.append(triples)
    entity_names, relation_names = names | read_names(folder, ENTITY_TEXT), names | read_names(folder, RELATION_TEXT)
    return numbered(name, splits, entities, relations, entity_names, relation_names)


def open_file(path: Path, name: str, seed: int) -> TripleSet:
    """The graph in a single file, split by seed: see `kge_data.splitting.split`."""
    entities, relations = Vocabulary(), Vocabulary()
    names: dict[str, str] = {}
    triples = encode(read(path, names), entities, relations)
    if len(triples) == 0:
        raise DataError(f"{path}: holds no triple; check that it is the right file.")
    try:
        return numbered_and_split(name, triples, entities, relations, names, seed)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def split_file(folder: Path, split: str) -> Path:
    """The file of a split. Raises DataError if there is none, or more than one."""
    endings = [end + packed for end in ENDINGS for packed in ("", *SUFFIXES)]
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


def read(path: Path, names: dict[str, str]) -> Iterator[Columns]:
    """The triples of a file in any format, block by block; readable names in it (RDF) are added to `names`."""
    if reader := READERS.get(ending(path)):
        return reader(path, names)
    raise DataError(f"{path}: files that end in {ending(path) or 'nothing'!r} are not known; use {', '.join(ENDINGS)}.")


def read_names(folder: Path, candidates: tuple[str, ...]) -> dict[str, str]:
    """Identifier -> readable name, from the first of these files that exists; empty if there is none."""
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
                identifier, tab, name = line.decode().rstrip("\r\n").partition("\t")
            except UnicodeDecodeError as error:
                where = f"{path}, line {line_number}"
                raise DataError(f"{where}: not valid UTF-8: {line!r}. Save the file as UTF-8.") from error
            if not tab and identifier:
                raise DataError(
                    f"{path}, line {line_number}: expected identifier<TAB>name, found {identifier!r}. "
                    f"Correct or remove the line."
                )
            if name:
                names[identifier] = name
    return names


def _json_names(path: Path) -> dict[str, str]:
    with opened(path) as stream:
        content = stream.read()
    try:
        entries = json.loads(content)
        return {identifier: entry["label"] for identifier, entry in entries.items() if entry.get("label")}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise DataError(f'{path}: expected {{identifier: {{"label": name}}}} in JSON; {error}.') from error
