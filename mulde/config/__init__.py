"""Settings: a dataclass with a sentence under each field <-> TOML or YAML files <-> command-line options."""

from mulde.config.fields import default_of, defaults_of, extended, flatten, hints_of
from mulde.config.options import Option, options_of, texts_of
from mulde.config.settings import convert, from_dict, read, to_dict, write
from mulde.config.values import (
    Count,
    Duration,
    Fraction,
    NonNegative,
    Positional,
    Positive,
    Range,
    Size,
    Threads,
    Whole,
)

__all__ = [
    "Count",
    "Duration",
    "Fraction",
    "NonNegative",
    "Option",
    "Positional",
    "Positive",
    "Range",
    "Size",
    "Threads",
    "Whole",
    "convert",
    "default_of",
    "defaults_of",
    "extended",
    "flatten",
    "from_dict",
    "hints_of",
    "options_of",
    "read",
    "texts_of",
    "to_dict",
    "write",
]
