"""YAML -> values, without what readers of a file overlook: a key given twice, and values that aliases multiply."""

from __future__ import annotations

from typing import Any

import yaml

from kge_data.errors import shortened
from kge_data.printing import one_line

SHOWN = 60  # characters of a name
MOST = 10_000  # values of a file, those that aliases repeat counted each time


class Refused(ValueError):
    """Well-formed YAML that is refused.

    Attributes
    ----------
    line
        The line, from 1.
    reason
        What is wrong.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


def load(text: str) -> Any:
    """The values in a YAML document, as `yaml.safe_load` gives them.

    Raises
    ------
    Refused
        If a key is given twice, a scalar is not of its type, or there are too many values. The message begins with the
        line.
    yaml.YAMLError
        If it is not YAML.
    """
    loader, root = _Loader(text), None
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _refuse_many(root)
        return loader.construct_document(root)
    except RecursionError:
        raise Refused(loader.line + 1, "brackets or blocks are nested too deep; settings are flat") from None
    except Refused as error:
        raise Refused(error.line, f"{_setting(root, error.line)}{error.reason}") from error
    finally:
        loader.dispose()


def _setting(root: yaml.Node | None, line: int) -> str:
    """The name of the setting in a line, with a colon; "" where it is not known."""
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    before = [key.value for key, _ in pairs if key.start_mark.line < line and isinstance(key, yaml.ScalarNode)]
    return f"`{one_line(before[-1][:SHOWN])}`: " if before else ""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    def compose_mapping_node(self, anchor: Any) -> Any:
        """A mapping in which each key is given once."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                raise Refused(line, f"{shortened(key.value)} is given twice, first in line {lines[key.value]}")
            lines[key.value] = line
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """The value of a node; Refused where a scalar is not of the type that it looks like, or is declared as."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode(errors="surrogateescape")  # no half characters; paths need not be UTF-8
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            if isinstance(error, Refused) or not isinstance(node, yaml.ScalarNode):
                raise
            kind = node.tag.rpartition(":")[2]
            raise Refused(
                node.start_mark.line + 1,
                f"{shortened(node.value)} is not a valid {kind}; correct it, or quote it if it is a word",
            ) from error
        return value


def _refuse_many(root: yaml.Node) -> None:
    """Raise Refused if a node, with those that aliases repeat, holds too many values."""
    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counts:
            counts[id(node)] = MOST + 1  # of a node inside itself
            parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
            counts[id(node)] = 1 + sum(map(count, parts)) if isinstance(node, yaml.CollectionNode) else 1
        if counts[id(node)] > MOST:
            raise Refused(node.start_mark.line + 1, f"holds more than {MOST:,} values; write out what is meant")
        return counts[id(node)]

    count(root)
