"""The layout of a table of triples: where head, relation and tail are, and what its columns are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kge_data.columns import Places, advice, by_name, candidates, chosen, listed, positions, quoted
from kge_data.errors import DataError
from kge_data.printing import one_line
from kge_data.tripleset import FIELDS


@dataclass(frozen=True)
class Layout:
    """Where the triples are in the rows of a table.

    Attributes
    ----------
    places
        Positions of head, relation and tail, from 0.
    width
        Number of columns.
    names
        Names of all columns; empty if the table has no header.
    """

    places: Places = (0, 1, 2)
    width: int = 3
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Sentence part for people: "head = source, relation = type, tail = target; ignored: weight"."""
        others = [place for place in range(self.width) if place not in self.places]
        ignored = listed([self.names[place] if self.names else f"column {place + 1}" for place in others])
        return f"{self._used()}; ignored: {ignored}" if others else self._used()

    def _used(self) -> str:
        if not self.names:
            order = "" if self.places == (0, 1, 2) else f" from columns {self.spelled()}"
            return f"no header; head, relation and tail{order or ' in this order'}"
        if [self.names[place].casefold() for place in self.places] == [*FIELDS]:
            return "columns head, relation and tail"
        return ", ".join(
            f"{role} = {one_line(self.names[place])}" for role, place in zip(FIELDS, self.places, strict=True)
        )

    def spelled(self, order: Sequence[int] = (0, 1, 2)) -> str:
        """The columns in an order of the roles, as --columns takes them."""
        places = [self.places[role] for role in order]
        return ",".join(quoted(self.names[place]) if self.names else str(place + 1) for place in places)


def named(row: Sequence[str], where: str, columns: Sequence[str] | None = None) -> Layout | None:
    """The layout that a first row names; None if it is not a header.

    Parameters
    ----------
    row
        The fields of the first row.
    where
        File or table, for messages.
    columns
        What `kge_data.columns.choice` returns; without it, the names decide.

    Raises
    ------
    DataError
        If a role has two candidates.
    """
    if columns is None:
        places = by_name(row, where)
        return None if places is None else Layout(places, len(row), tuple(row))
    if not row or (positions(columns) and not all(candidates(row))):
        return None
    found = chosen(row, columns, where)
    return None if None in found else Layout(_three(found), len(row), tuple(row))


def unnamed(
    row: Sequence[str],
    where: str,
    columns: Sequence[str] | None = None,
    like: Layout | None = None,
    names: bool = False,
) -> Layout:
    """The layout where a first row does not name it.

    It is that of the chosen positions, or that of another file, or three columns in order.

    Parameters
    ----------
    row, where, columns
        As for `named`.
    like
        The layout of a file of the same graph that has a header.
    names
        Whether the row holds the names of columns nevertheless, as that of a Parquet file.

    Raises
    ------
    DataError
        If there are more than three columns, or a column does not exist.
    """
    header = tuple(row) if names else ()
    if not row and not names:
        return Layout()
    if columns is not None and positions(columns):
        return Layout(_three(chosen(row, columns, where)), len(row), header)
    if like is not None and like.width == len(row) and not names:
        return Layout(like.places, len(row))
    if columns is not None:
        missing = [column for column, place in zip(columns, chosen(row, columns, where), strict=True) if place is None]
        raise DataError(f"{where}: no column is called {missing[0] or '?'!r}; its columns are {listed(row)}.")
    found = candidates([name for name in row if len(name) > 1])
    partly = bool(found[0] and found[2]) if len(row) == 3 else sum(map(bool, found)) > 1
    if len(row) < 3 and (partly or names):
        raise DataError(
            f"{where}: expected columns for head, relation and tail, found {listed(row) or 'none'}; add a column."
        )
    if len(row) > 3 or partly:
        raise DataError(
            f"{where}: expected columns for head, relation and tail, in this order or with known names; found "
            f"{listed(row)}; {advice(row, candidates(row))}"
        )
    return Layout(names=header)


def _three(places: Sequence[int | None]) -> Places:
    head, relation, tail = (place or 0 for place in places)
    return head, relation, tail
