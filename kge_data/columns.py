"""Which columns of a table are head, relation and tail, by their names.

Names are compared without case, blanks, quotes, underscores and hyphens. The names of one family are preferred to a
mixture, and a name itself to the same name with an ending such as `_id`: in a table with head, relation, tail and
source, the last column is ignored, and head is preferred to head_id. Two candidates for one role are an error.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from kge_data.errors import DataError
from kge_data.printing import one_line
from kge_data.tripleset import FIELDS

Choice = Sequence[str | int] | str
"""Head, relation and tail as column names or as positions from 1; in one string, they are separated by commas."""
Places = tuple[int, int, int]

LINKS = ("relation", "relationship", "rel", "predicate", "property", "type", "label", "edge", "edgetype",
         "relationtype", "relationshiptype", "reltype", "metaedge")  # fmt: skip
FAMILIES = (
    (("head",), ("relation", "relationship", "rel"), ("tail",)),
    (("h",), ("r",), ("t",)),
    (("subject", "subj"), ("predicate", "pred", "relation", "property"), ("object", "obj")),
    (("s",), ("p",), ("o",)),
    (("source", "src", "from"), LINKS, ("target", "tgt", "dst", "dest", "destination", "to")),
    (("node1", "entity1", "e1"), LINKS, ("node2", "entity2", "e2")),
    (("start",), LINKS, ("end",)),
    ((":startid",), (":type",), (":endid",)),  # Neo4j's import, where (Person) may follow
)
ENDINGS = ("id", "name", "label", "iri", "uri", "key")
SHOWN = 12  # columns in a message


def choice(columns: Choice | None, missing: bool = False) -> tuple[str, ...] | None:
    """The three columns of a choice as text. Raises DataError if they are not three.

    Parameters
    ----------
    missing
        Whether a part may be left out, as "" or "?"; it becomes "".
    """
    if columns is None:
        return None
    parts = next(csv.reader([columns]), []) if isinstance(columns, str) else columns
    texts = tuple("" if part == "?" else str(part).strip() for part in parts)
    if len(texts) != 3 or not (missing or all(texts)):
        raise DataError(
            f"columns: expected three, for head, relation and tail, got {len(texts)} ({', '.join(texts)}); give names, "
            "or positions from 1, separated by commas."
        )
    return texts


def positions(columns: Sequence[str]) -> bool:
    """Whether a choice gives positions only, and no names."""
    return all(column.isdecimal() for column in columns if column)


def written(columns: Sequence[str]) -> str:
    """A choice as one string, which `choice` reads."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(columns)
    return text.getvalue()


def candidates(names: Sequence[object]) -> list[list[int]]:
    """The positions that the names allow for head, relation and tail; an empty list where there is none."""
    plain = [_plain(name) for name in names]
    for endings in ((), ENDINGS):
        complete = [found for family in FAMILIES if all(found := [_named(plain, one, endings) for one in family])]
        if complete:
            return [sorted({place for places in role for place in places}) for role in zip(*complete, strict=True)]
    together = [[alias for aliases in role for alias in aliases] for role in zip(*FAMILIES, strict=True)]
    return [_named(plain, aliases, ENDINGS) for aliases in together]


def by_name(names: Sequence[object], where: str) -> Places | None:
    """The positions of head, relation and tail in a header; None if it does not name all three.

    Raises
    ------
    DataError
        If a role has two candidates; the message begins with `where`.
    """
    found = candidates(names)
    if not all(found):
        return None
    refuse_ambiguous(names, found, where)
    head, relation, tail = (places[0] for places in found)
    return head, relation, tail


def refuse_ambiguous(names: Sequence[object], found: Sequence[Sequence[int]], where: str) -> None:
    """Raise DataError if `candidates` has found two columns for one role."""
    for role, places in zip(FIELDS, found, strict=True):
        if len(places) > 1:
            both = " and ".join(repr(str(names[place])) for place in places)
            raise DataError(f"{where}: {both} could both be the {role}; {advice(names, found)}")


def chosen(names: Sequence[object], columns: Sequence[str], where: str) -> list[int | None]:
    """The positions of chosen columns; None for a name that the header does not have, or that is left out.

    Raises
    ------
    DataError
        If two columns have a chosen name, a position is outside the table, or a column is chosen twice.
    """
    places = [_chosen(names, column, where) for column in columns]
    known = [place for place in places if place is not None]
    if len(set(known)) < len(known):
        raise DataError(f"{where}: {', '.join(columns)} chooses a column twice; head, relation and tail are different.")
    return places


def advice(names: Sequence[object], found: Sequence[Sequence[int]] = ((), (), ())) -> str:
    """What to do where the roles of columns are not clear."""
    example = [quoted(names[places[0]]) if places else role.upper() for role, places in zip(FIELDS, found, strict=True)]
    return (
        f"name them with --columns {','.join(example)}, or give positions, such as --columns 1,2,3 (columns=... in "
        "Python)."
    )


def listed(names: Sequence[object]) -> str:
    """Column names for a message."""
    texts = [one_line(str(name)[:40]) if str(name).strip() else "(unnamed)" for name in names[:SHOWN]]
    return ", ".join(texts) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def quoted(name: object) -> str:
    """A column name for --columns."""
    text = one_line(str(name))
    return f"'{text}'" if re.search(r"[^\w.:-]", text) else text


def _chosen(names: Sequence[object], column: str, where: str) -> int | None:
    if column.isdecimal():
        if not 1 <= int(column) <= len(names):
            raise DataError(
                f"{where}: there is no column {column}; its columns are 1 to {len(names)}: {listed(names)}."
            )
        return int(column) - 1
    exact = [place for place, name in enumerate(names) if str(name).strip() == column]
    found = exact or [place for place, name in enumerate(names) if column and _plain(name) == _plain(column)]
    if len(found) > 1:
        raise DataError(
            f"{where}: {len(found)} columns are called {column!r}; give positions, such as --columns 1,2,3."
        )
    return found[0] if found else None


def _named(plain: Sequence[str], aliases: Sequence[str], endings: Sequence[str]) -> list[int]:
    exact = [place for place, name in enumerate(plain) if name in aliases]
    longer = {alias + end for alias in aliases if len(alias) > 1 for end in endings}
    return exact or [place for place, name in enumerate(plain) if name in longer]


def _plain(name: object) -> str:
    text = str(name).strip("\ufeff\"' \t\r\n").casefold()
    if found := re.search(r":(start_id|end_id|type)\b", text):
        text = found[0]
    return re.sub(r"[\s_-]", "", text)
