"""Lookup of entities and relations by identifier or readable name."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from kge_data.errors import AmbiguousName, UnknownName
from kge_data.printing import one_line

LISTED = 5  # candidates listed in a message
MAX_LENGTH = 60  # characters of a readable name in a message; those of WordNet are whole definitions


class Names:
    """Names of entities, or of relations, and lookup of ids by name.

    An exact identifier always matches. Otherwise the first of these rules with a match is used: the exact readable
    name; the identifier or readable name in any case; the readable name up to its first comma in any case (WordNet's
    names are "lemma, gloss").

    Parameters
    ----------
    kind
        "entity" or "relation", for messages.
    identifiers
        All identifiers; the position is the id.
    readable
        id -> readable name, for those that have one.
    """

    def __init__(self, kind: str, identifiers: Sequence[str], readable: Mapping[int, str]) -> None:
        self.kind, self.identifiers, self.readable = kind, identifiers, readable

    def find(self, name: str) -> int:
        """The id of a name.

        Raises
        ------
        AmbiguousName
            With the candidates.
        UnknownName
            With the nearest names.
        """
        if not isinstance(name, str):
            raise UnknownName(
                f"expected a string as {self.kind}, got {name!r}; give its identifier or its readable name."
            )
        with contextlib.suppress(UnicodeError):  # a word of a command line in a locale without UTF-8
            name = name.encode(errors="surrogateescape").decode()
        if name in self._by_identifier:
            return self._by_identifier[name]
        found = self._matching(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise AmbiguousName(self._ambiguous(name, found))
        raise UnknownName(self._unknown(name))

    def find_all(self, names: Sequence[str]) -> tuple[NDArray[np.int64], dict[str, str]]:
        """The id of each name (n,), -1 if it is unknown or ambiguous, and the message for each such name.

        It is made for millions of names: the messages do not list the nearest names, which are slow to find.
        """
        ids = np.fromiter(map(self._by_identifier.get, names, repeat(-1)), np.int64, len(names))
        reasons: dict[str, str] = {}
        other: dict[str, int] = {}
        for place in np.flatnonzero(ids < 0).tolist():
            name = names[place]
            if name not in other:
                found = self._matching(name)
                other[name] = found[0] if len(found) == 1 else -1
                if len(found) != 1:
                    unknown = f'no {self.kind} is called "{one_line(name)}"'
                    reasons[name] = self._ambiguous(name, found) if found else unknown
            ids[place] = other[name]
        return ids, reasons

    def _matching(self, name: str) -> list[int]:
        """The ids in the first index that has this name; empty if none has it."""
        indexes = ((self._exact, name), (self._any_case, name.casefold()), (self._short, name.casefold()))
        return next((found for index, typed in indexes if (found := index.get(typed))), [])

    @cached_property
    def _by_identifier(self) -> dict[str, int]:
        return {identifier: number for number, identifier in enumerate(self.identifiers)}

    @cached_property
    def _exact(self) -> dict[str, list[int]]:
        return self._index(lambda text: text)

    @cached_property
    def _any_case(self) -> dict[str, list[int]]:
        index = self._index(str.casefold)
        for number, identifier in enumerate(self.identifiers):
            plain = identifier.casefold()
            if number not in self.readable or self.readable[number].casefold() != plain:
                index.setdefault(plain, []).append(number)
        return index

    @cached_property
    def _short(self) -> dict[str, list[int]]:
        return self._index(lambda text: text.partition(",")[0].casefold())

    def _index(self, key: Callable[[str], str]) -> dict[str, list[int]]:
        index: dict[str, list[int]] = {}
        for number, text in self.readable.items():
            index.setdefault(key(text), []).append(number)
        return index

    def _described(self, number: int) -> str:
        identifier = one_line(self.identifiers[number])
        if number not in self.readable:
            return identifier
        text = one_line(self.readable[number])
        return f"{identifier} ({text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1].rstrip() + '…'})"

    def _ambiguous(self, name: str, found: list[int]) -> str:
        listed = "; ".join(map(self._described, found[:LISTED]))
        more = f"; and {len(found) - LISTED} more" if len(found) > LISTED else ""
        return (
            f'{self.kind} "{one_line(name)}" could be any of {len(found)}: {listed}{more}. '
            f"Give the identifier, {one_line(self.identifiers[found[0]])} for instance."
        )

    def _unknown(self, name: str) -> str:
        spellings = self._short | self._any_case
        close = difflib.get_close_matches(name.casefold(), spellings, n=LISTED, cutoff=0.6)
        numbers = dict.fromkeys(number for text in close for number in spellings[text])
        nearest = "; ".join(map(self._described, list(numbers)[:LISTED]))
        hint = f"nearest: {nearest}" if nearest else f"none of the {len(self.identifiers):,} names is similar"
        return f'no {self.kind} is called "{one_line(name)}"; {hint}.'
