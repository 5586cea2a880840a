"""Settings: a dataclass with a sentence under each field <-> TOML or YAML files <-> command-line options."""

from mulde.config.settings import (
    Duration,
    convert,
    converted,
    default_of,
    defaults_of,
    flatten,
    from_dict,
    hints_of,
    read,
    to_dict,
    typed,
    write,
)

__all__ = [
    "Duration",
    "convert",
    "converted",
    "default_of",
    "defaults_of",
    "flatten",
    "from_dict",
    "hints_of",
    "read",
    "to_dict",
    "typed",
    "write",
]
