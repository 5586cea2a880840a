"""Changes of bytes at random places: what transfers, editors and enemies do to files."""

from __future__ import annotations

import random
import re

PIECES = (
    *(b"\n \r\n \r \t , ; \" ' \\ # ? < > <<( )>> [ ] { } ( ) : - . = @ & * ! % ~ null true nan 1e999 0x".split(b" ")),
    *(b"\n\n", b" ", b"\0", b"\x1b[31m", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x7f\xff\xff\xff"),
    *(b"\\ud800", b"\\uzz", b"\\U00110000", b"\xe2\x80\xae", b"<<: *a", b"&a", b"!!int x", b"2026-99-99", b"9" * 5000),
    *(b"head", b"HEAD", b"relation", b"tail", b"entity", b"head\trelation\ttail", b"label", b"PAR1"),
)  # fmt: skip
TIMES = (1, 1, 1, 1, 2, 100, 3000)
MOST = 1 << 20  # bytes


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A copy with one to four changes."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randint(0, len(content))
        end = min(len(content), place + draw.choice((0, 0, 1, 4, 20)))
        content = draw.choice(CHANGES)(content, place, end, draw)[:MOST]
    return content


def _insert(content: bytes, place: int, end: int, draw: random.Random) -> bytes:
    """A piece instead of these bytes."""
    return content[:place] + draw.choice(PIECES) * draw.choice(TIMES) + content[end:]


def _flip(content: bytes, place: int, end: int, draw: random.Random) -> bytes:
    if place == len(content):
        return content
    return content[:place] + bytes([content[place] ^ 1 << draw.randint(0, 7)]) + content[place + 1 :]


def _set(content: bytes, place: int, end: int, draw: random.Random) -> bytes:
    return (
        content[:place] + bytes(draw.choice((0, 255, draw.randint(0, 255))) for _ in range(end - place)) + content[end:]
    )


def _cut(content: bytes, place: int, end: int, draw: random.Random) -> bytes:
    return content[:place]


def _repeat(content: bytes, place: int, end: int, draw: random.Random) -> bytes:
    """A part of the file once more, or many times, at another place."""
    start = draw.randint(0, len(content))
    part = content[start : start + draw.choice((1, 8, 64, 1000))]
    return content[:place] + part * draw.choice(TIMES) + content[place:]


def _swap(content: bytes, place: int, end: int, draw: random.Random) -> bytes:
    """Two words of the file exchanged."""
    words = list(re.finditer(rb"[^\s,:]+", content))
    if len(words) < 2:
        return content
    one, other = sorted((draw.choice(words), draw.choice(words)), key=re.Match.start)
    if one.end() > other.start():
        return content
    between = content[one.end() : other.start()]
    return content[: one.start()] + other[0] + between + one[0] + content[other.end() :]


CHANGES = (_insert, _insert, _flip, _set, _cut, _repeat, _swap)
