"""The sentence about a picture that cannot be read, for verbs with the option --skip-broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mulde.errors import UsageError
from mulde.vision.pictures.reading import BrokenPicture


@contextmanager
def advising_skip_broken() -> Iterator[None]:
    """In this block, errors about broken pictures name the option."""
    try:
        yield
    except BrokenPicture as error:
        raise UsageError(f"{error.sentence}; repair or remove it, or leave it out with --skip-broken") from error
