"""Which columns of a file of queries are head, relation and tail, or the entity of a query of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kge_data.columns import Choice, advice, candidates, choice, chosen, listed, positions, refuse_ambiguous
from kge_data.tripleset import FIELDS
from mulde.errors import UsageError


@dataclass(frozen=True)
class QueryLayout:
    """Parts of a query and their positions in a row, in the order of the file."""

    parts: tuple[str, ...]
    places: tuple[int, ...]
    width: int
    header: bool

    def wrong(self, row: Sequence[str]) -> str:
        """The error of a row of another width."""
        names = f" ({', '.join(self.parts)})" if len(self.parts) == self.width else ""
        return f"expected {self.width} fields{names}, found {len(row)}"


def layout_of(row: Sequence[str], where: str, columns: Choice | None) -> QueryLayout:
    """The layout that the first row of a file, or a choice of columns, gives.

    Parameters
    ----------
    row
        The fields of the first row.
    where
        File, for messages.
    columns
        Head, relation and tail; "" for one that is missing. None: by name.

    Raises
    ------
    UsageError
        If there is no row, a chosen column does not exist, or it is not clear which columns are meant.
    """
    if not row:
        raise UsageError(f"{where}: holds no query; check that it is the right file")
    if wanted := choice(columns, missing=True):
        found, header = _chosen(row, wanted, where), not positions(wanted) or all(candidates(row))
    else:
        found = _named(row, where)
        header = bool(found)
        if not found and len(row) == 3:
            found = dict(enumerate(FIELDS))
    if len(found) < 2 and "entity" not in found.values():
        raise UsageError(
            f"{where}: expected three columns, or a first line that names two or three of head, relation and tail, or "
            f"entity; found {listed(row)}; {advice(row)}"
        )
    places = tuple(sorted(found))
    return QueryLayout(tuple(found[place] for place in places), places, len(row), header)


def _chosen(row: Sequence[str], wanted: Sequence[str], where: str) -> dict[int, str]:
    """Position -> part of the chosen columns. Raises UsageError if the file does not have one of them."""
    places = chosen(row, wanted, where)
    for column, place in zip(wanted, places, strict=True):
        if column and place is None:
            raise UsageError(f"{where}: no column is called {column!r}; its columns are {listed(row)}")
    return {place: part for place, part in zip(places, FIELDS, strict=True) if place is not None}


def _named(row: Sequence[str], where: str) -> dict[int, str]:
    """Position -> part of the columns that a first row names; empty if it is a query."""
    found = candidates(row)
    entity = [place for place, name in enumerate(row) if name.strip().casefold() == "entity"]
    if len(entity) == 1 and len(row) != 3 and sum(map(bool, found)) < 2:
        return {entity[0]: "entity"}
    if not all(found) and (len(row) == 3 or sum(map(bool, found)) < 2):
        return {}  # in three columns, two words such as type and object may be a query
    refuse_ambiguous(row, found, where)
    return {places[0]: part for part, places in zip(FIELDS, found, strict=True) if places}
