"""Readable names in files beside the triples."""

from __future__ import annotations

import json
from pathlib import Path

from kge_data.errors import DataError
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
    names = {}
    with opened_text(path) as stream:
        for line_number, line in enumerate(stream, 1):
            if (wrong := first_wrong_byte(line)) is not None:
                raise not_utf8(path, line_number, line.rstrip(b"\r\n"), wrong)
            identifier, tab, name = line.decode().rstrip("\r\n").partition("\t")
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
