"""Normal form of labels: without outer and repeated blanks, without enclosing quotes, in Unicode's form NFC."""

from __future__ import annotations

import unicodedata

LONGEST = 10_000  # characters
QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "‘": "’", "«": "»"}
INVISIBLE = dict.fromkeys(map(ord, "\u200b\ufeff"))  # zero-width space, and the byte order mark inside a file


def composed(label: str) -> str:
    """The label in the form NFC: "é" is one character. Very long labels stay as they are."""
    return unicodedata.normalize("NFC", label) if len(label) <= LONGEST else label  # its time is quadratic


def stripped(label: str) -> str:
    """The label without blanks at both ends, and with single spaces inside."""
    visible = label if label.isascii() else label.translate(INVISIBLE)
    return " ".join(visible.split())


def unquoted(label: str) -> str:
    """The label without quotes around it, unless they are inside it, too."""
    while len(label) > 2 and QUOTES.get(label[0]) == label[-1] and not {label[0], label[-1]} & {*label[1:-1]}:
        label = label[1:-1].strip()
    return label


def normal(label: str) -> str:
    """The label in normal form; a label of blanks alone stays as it is."""
    return unquoted(stripped(composed(label))) or label
