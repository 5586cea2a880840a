"""Sizes of a graph model in the header of its weights, compared with those that are declared. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mulde import schema
from mulde.errors import UsageError
from mulde.storage.header import Table

ENTITY, RELATION = "entity", "relation."  # names of tables in ``KGEModel``


def refuse_other_sizes(tables: list[Table], sizes: Mapping[str, Any], where: str) -> None:
    """Raise UsageError if tables are not of a model with these sizes, as in ``model.json``."""
    expected = sizes["num_entities"], sizes["model"]["dim"]
    found = {table.name: table.shape for table in tables}
    rows = {shape[:1] for name, shape in found.items() if name.startswith(RELATION)}
    if found.get(ENTITY) != expected or rows - {(2 * sizes["num_relations"],)}:
        raise UsageError(
            f"{where}: expected weights of {expected[0]} entities with {expected[1]} dimensions and "
            f"{sizes['num_relations']} relations, found {found.get(ENTITY)} for entities and {sorted(rows)} for "
            f"relations in both directions; {schema.DAMAGED}"
        )
