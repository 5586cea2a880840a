"""Readable names in files beside the triples. A name is a text, and an identifier has one name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kge_data.errors import DataError, shortened
from kge_data.formats._compressed import opened
from kge_data.formats._encoding import opened_text
from kge_data.formats._reading import first_wrong_byte, not_utf8

ENTITY_TEXT = ("entity2text.txt", "entities_en.json")
RELATION_TEXT = ("relation2text.txt", "relations_en.json")


def read_names(folder: Path, candidates: tuple[str, ...]) -> dict[str, str]:
    """Identifier -> readable name, from the first of these files that exists; empty if there is none."""
    for path in (folder / name for name in candidates):
        if path.suffix == ".json" and path.is_file():
            return _json_names(path)
        if path.is_file():
            return _text_names(path)
    return {}


def _text_names(path: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    with opened_text(path) as stream:
        for line_number, line in enumerate(stream, 1):
            where = f"{path}, line {line_number}"
            if (wrong := first_wrong_byte(line)) is not None:
                raise not_utf8(path, line_number, line.rstrip(b"\r\n"), wrong)
            identifier, tab, name = line.decode().rstrip("\r\n").partition("\t")
            if not tab and identifier:
                raise DataError(
                    f"{where}: expected identifier<TAB>name, found {shortened(identifier)}. Correct or remove the line."
                )
            if name and names.setdefault(identifier, name) != name:
                raise DataError(
                    f"{where}: {shortened(identifier)} has a second name, {shortened(name)} after "
                    f"{shortened(names[identifier])}; keep one of the lines."
                )
    return names


def _json_names(path: Path) -> dict[str, str]:
    with opened(path) as stream:
        content = stream.read()
    try:
        entries = json.loads(content, object_pairs_hook=_once)
        return {identifier: label for identifier, entry in entries.items() if (label := _label(identifier, entry))}
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(f'{path}: expected {{identifier: {{"label": name}}}} in JSON; {error}.') from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of a JSON object as a dictionary. Raises DataError for a key that is given twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DataError(f"the key {shortened(key)} is given twice")
        found[key] = value
    return found


def _label(identifier: str, entry: Any) -> str | None:
    """The name in an entry; None or "" if it has none. Raises DataError for something else than a text."""
    if not isinstance(entry, dict):
        raise DataError(f"{shortened(identifier)} has {shortened(entry)}")
    label = entry.get("label")
    if not isinstance(label, str | None):
        raise DataError(f"{shortened(identifier)} has {shortened(label)} as its name, which is not a text")
    try:
        (label or "").encode()
    except UnicodeEncodeError:
        raise DataError(f"the name of {shortened(identifier)}, {shortened(label)}, has half a character") from None
    return label
