"""A folder, or a single file, of triples -> TripleSet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from kge_data.columns import Choice, choice, written
from kge_data.errors import DataError
from kge_data.formats import csv, parquet, rdf, tsv
from kge_data.formats._compressed import SUFFIXES, ending
from kge_data.formats._names import ENTITY_TEXT, RELATION_TEXT, read_names
from kge_data.labels import normal
from kge_data.layout import Layout, named, unnamed
from kge_data.numbering import Columns, Ids, Vocabulary, encode, merged, numbered, numbered_and_split
from kge_data.reading import described
from kge_data.tripleset import SPLITS, TripleSet

SPLIT_NAMES = {"train": ("train",), "valid": ("valid", "validation", "dev"), "test": ("test",)}
TABLES: dict[str, ModuleType] = {end: format_ for format_ in (tsv, csv, parquet) for end in format_.ENDINGS}
ENDINGS = (*tsv.ENDINGS, *csv.ENDINGS, *rdf.ENDINGS, *parquet.ENDINGS)


@dataclass(frozen=True)
class How:
    """How files are read: see `kge_data.load`."""

    columns: Choice | None = None
    normalize: bool = False
    base: str | None = None

    def given(self) -> dict[str, Any]:
        """The arguments that differ from their defaults."""
        columns = choice(self.columns)
        values = {"columns": columns and written(columns), "normalize": self.normalize or None, "base": self.base}
        return {name: value for name, value in values.items() if value is not None}


def open_folder(folder: Path, name: str, how: How = How()) -> TripleSet:
    """The graph in a folder with train.*, valid.* and test.*, and with readable names if it has them.

    Names come from entity2text.txt and relation2text.txt (identifier<TAB>text) or from entities_en.json and
    relations_en.json (identifier -> {"label": text}, the format of CoDEx).

    Raises
    ------
    DataError
        If a split is missing, empty or damaged, or there are two files for it.
    """
    paths = [split_file(folder, part) for part in SPLITS]
    splits = _Parsed(paths, how, "train, valid and test need at least one each")
    entity_names = splits.names | splits.normal(read_names(folder, ENTITY_TEXT))
    relation_names = splits.names | splits.normal(read_names(folder, RELATION_TEXT))
    graph = numbered(name, splits.triples, splits.entities, splits.relations, entity_names, relation_names)
    return replace(graph, reading=splits.reading)


def open_file(path: Path, name: str, seed: int, how: How = How()) -> TripleSet:
    """The graph in a single file, split by seed: see `kge_data.splitting.split`."""
    whole = _Parsed([path], how, "check that it is the right file")
    try:
        graph = numbered_and_split(name, whole.triples[0], whole.entities, whole.relations, whole.names, seed)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return replace(graph, reading=whole.reading)


class _Parsed:
    """The triples of files, encoded, with their vocabularies, readable names and a description of the reading."""

    def __init__(self, paths: Sequence[Path], how: How, advice: str) -> None:
        self._normal = how.normalize
        self.entities, self.relations, self.names = Vocabulary(), Vocabulary(), dict[str, str]()
        layouts = _layouts(paths, choice(how.columns))
        if how.base is not None and None not in layouts.values():
            raise DataError(f"{paths[0]}: base is for RDF files ({', '.join(rdf.ENDINGS)}); leave it out.")
        self.triples: list[Ids] = []
        for path, layout in layouts.items():
            triples = encode(_read(path, layout, self.names, how.base), self.entities, self.relations)
            if len(triples) == 0:
                raise DataError(f"{path}: holds no triple; {advice}.")
            self.triples.append(triples)
        remarks = []
        if how.normalize:
            self.entities, self.relations, self.triples, remark = merged(self.entities, self.relations, self.triples)
            self.names = self.normal(self.names)
            remarks.append(remark)
        entities, relations = [*self.entities], [*self.relations]
        self.reading = described(layouts, self.triples, entities, relations, how.given(), remarks)

    def normal(self, names: Mapping[str, str]) -> dict[str, str]:
        """Readable names by the labels of this graph."""
        return {normal(label): text for label, text in names.items()} if self._normal else dict(names)


def _layouts(paths: Sequence[Path], columns: tuple[str, ...] | None) -> dict[Path, Layout | None]:
    """The layout of each file, None for RDF. Files without a header have the layout of the first one with a header."""
    formats = {path: _format(path) for path in paths}
    first = {path: table.first_row(path) for path, table in formats.items() if table}
    found = {path: named(row, str(path), columns) for path, row in first.items()}
    like = next((layout for layout in found.values() if layout), None)
    for path, row in first.items():
        found[path] = found[path] or unnamed(row, str(path), columns, like, names=formats[path] is parquet)
    return {path: found.get(path) for path in paths}


def _format(path: Path) -> ModuleType | None:
    """The module of a table's format; None for RDF."""
    if (end := ending(path)) in ENDINGS:
        return TABLES.get(end)
    raise DataError(f"{path}: files that end in {end or 'nothing'!r} are not known; use {', '.join(ENDINGS)}.")


def read(path: Path, names: dict[str, str]) -> Iterator[Columns]:
    """The triples of one file, block by block; readable names in it (RDF) are added to `names`."""
    return _read(path, _layouts([path], None)[path], names)


def _read(path: Path, layout: Layout | None, names: dict[str, str], base: str | None = None) -> Iterator[Columns]:
    """The triples of a file, block by block; readable names in it (RDF) are added to `names`."""
    if layout is None:
        return rdf.read(path, names, base)
    blocks: Iterator[Columns] = TABLES[ending(path)].read(path, layout)
    return blocks


def split_file(folder: Path, split: str) -> Path:
    """The file of a split.

    Raises
    ------
    DataError
        If there is none, or more than one.
    """
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
