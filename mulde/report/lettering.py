"""Width of text in drawings and terminals, and its division into lines.

Widths in drawings are estimates in pixels at 12 px, rather too large.
"""

from __future__ import annotations

import unicodedata
from functools import cache

from kge_data.printing import IN_TEXTS, one_line

SLIM, PLAIN, LARGE, FULL = 4.4, 7.1, 9.0, 12.6
RIGHT_TO_LEFT = ("R", "AL", "AN", "RLE", "RLO", "LRO", "LRE")
BREAKS = " _/.-·:,"  # a line may end after these


def text_width(text: str) -> float:
    """Width of a text in pixels."""
    return sum(map(_width, text))


def terminal_columns(letter: str) -> int:
    """Columns of a letter in a terminal: two for a wide East Asian one, none for a combining mark."""
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def shortened(text: str, room: float) -> str:
    """A text cut in its middle to fit this many pixels; it keeps both ends."""
    if text_width(text) <= room:
        return text
    pieces = _clusters(text)
    begin, end = pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :]
    while (begin or end) and text_width("".join([*begin, "…", *end])) > room:
        if len(begin) > len(end):
            begin.pop()
        else:
            end.pop(0)
    return "".join([*begin, "…", *end])


def wrapped(text: str, room: float, most: int = 3) -> list[str]:
    """A text as at most this many lines of this many pixels. A longer text is cut in its middle."""
    for part in (text, shortened(text, most * room * 0.85)):
        lines = _lines(part, room)
        if len(lines) <= most:
            return lines
    return [*lines[: most - 1], shortened("".join(lines[most - 1 :]), room)]


def isolated(name: str) -> str:
    """A name in one line; one that is written from right to left in isolates, to leave the text around it as it is."""
    name = one_line(name)
    turned = any(unicodedata.bidirectional(letter) in RIGHT_TO_LEFT for letter in name)
    return f"\u2068{name}\u2069" if turned else name


def _lines(text: str, room: float) -> list[str]:
    lines, line, used, pause = [], list[str](), 0.0, 0
    for piece in _clusters(text):
        wide = text_width(piece)
        if line and used + wide > room:
            cut = pause or len(line)
            lines.append("".join(line[:cut]))
            line = line[cut:]
            used, pause = text_width("".join(line)), 0
        line.append(piece)
        used += wide
        if piece in BREAKS:
            pause = len(line)
    return [stripped for each in [*lines, "".join(line)] if (stripped := each.strip())] or [""]


def _clusters(text: str) -> list[str]:
    """Characters with the marks and joiners that belong to them, which are never separated."""
    found: list[str] = []
    for letter in text:
        if found and (_width(letter) == 0 or found[-1].endswith("\u200d")):
            found[-1] += letter
        else:
            found.append(letter)
    return found


@cache
def _width(letter: str) -> float:
    if ord(letter) in IN_TEXTS:
        return len(IN_TEXTS[ord(letter)]) * PLAIN
    if (columns := terminal_columns(letter)) == 0:
        return 0
    if columns == 2 or ord(letter) > 0x1F000:
        return FULL
    if letter.isupper() or letter in "mwMW@%&—":
        return LARGE
    return SLIM if letter in "iljtfrI.,:;|'!()[] -" else PLAIN
