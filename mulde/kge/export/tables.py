"""Embeddings with their names as TSV, Parquet or numpy files in a new folder.

    entities   identifier, label, head_bias, tail_bias, entity.0 … entity.d-1
    relations  identifier, label, direction (forward, or reciprocal for (?, relation, tail)), curvature, and the
               scorer's own vectors and matrices by name: before.0 …, linear.0.0 …
    about.json meaning of the numbers

In numpy's format every table is one array, and names are arrays of text; nothing is pickled.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from kge_data.formats import csv
from kge_data.inverse import num_internal
from kge_data.tripleset import TripleSet
from mulde.errors import MissingExtra, UsageError
from mulde.files import new_folder, utf8, write_atomically
from mulde.geometry.spaces import Bilinear, Lorentz
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.run_folder import scorer_name

Form = Literal["tsv", "parquet", "numpy"]
Table = dict[str, NDArray[Any]]  # column, or block of columns -> a row per entity, or per relation and direction


def write_tables(folder: Path, model: KGEModel, graph: TripleSet, form: Form) -> None:
    """Write both tables atomically.

    Raises
    ------
    UsageError
        If the folder exists or a package is missing.
    """
    tables = {"entities": entity_table(model, graph), "relations": relation_table(model, graph)}
    contents = {"about.json": utf8(json.dumps(_about(model, graph), indent=1, ensure_ascii=False))}
    for name, table in tables.items():
        if form == "numpy":
            contents[f"{name}.npz"] = _npz(table)
        elif form == "tsv":
            contents[f"{name}.tsv"] = _tsv(_columns(table))
        else:
            contents[f"{name}.parquet"] = _parquet(_columns(table))
    with new_folder(folder) as place:
        for file, content in contents.items():
            write_atomically(place / file, content)


def entity_table(model: KGEModel, graph: TripleSet) -> Table:
    """Names, biases (e,) and vectors (e, d)."""
    state = model.state_dict()
    biases: Table = {name: state[name].cpu().numpy() for name in ("head_bias", "tail_bias") if name in state}
    return {
        "identifier": _texts(graph.entities),
        "label": _texts(map(graph.entity_label, range(graph.num_entities))),
        **biases,
        "entity": state["entity"].cpu().numpy(),
    }


def relation_table(model: KGEModel, graph: TripleSet) -> Table:
    """Names, directions, curvatures (2r,), and the scorer's vectors (2r, d) and matrices (2r, d, d), by internal id."""
    internal = torch.arange(num_internal(graph.num_relations))
    table: Table = {
        "identifier": np.repeat(_texts(graph.relations), 2),
        "label": np.repeat(_texts(map(graph.relation_label, range(graph.num_relations))), 2),
        "direction": np.tile(np.array(["forward", "reciprocal"]), graph.num_relations),
    }
    curvature = model.curvature(internal.to(model.entity.device))
    if curvature is not None:
        table["curvature"] = curvature.detach().expand(len(internal)).cpu().numpy()
    return table | {name: vectors.detach().cpu().numpy() for name, vectors in model.relation.items()}


def _about(model: KGEModel, graph: TripleSet) -> dict[str, Any]:
    tangent = "tangent vectors at the origin of the Poincaré ball; expmap0 with a relation's curvature gives its points"
    points = "points of the Poincaré ball" if model.config.parametrization == "manifold" else tangent
    similarities = {Bilinear: "<query, tail>", Lorentz: "-4 sinh²(√curvature · distance(query, tail) / 2) / curvature"}
    similarity = similarities.get(type(model.space), "-distance(query, tail)²")
    return {
        "scorer": scorer_name(model.scorer),
        "dim": model.config.dim,
        "entity": points if model.scorer.hyperbolic() else "points of flat space",
        "score": f"{similarity} + head_bias[head] + tail_bias[tail]; query: the scorer's map of the head",
        "data": {"name": graph.name, "checksum": graph.checksum},
    }


def _columns(table: Table) -> dict[str, NDArray[Any]]:
    """Blocks (n, d) as d columns name.i, and (n, d, d) as d² columns name.i.j."""
    return {
        ".".join([name, *map(str, place)]): block[(slice(None), *place)]
        for name, block in table.items()
        for place in np.ndindex(block.shape[1:])
    }


def _tsv(columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Tab-separated text with a header; floats in the shortest form that is read back exactly."""
    rows = zip(*(map(str, column) for column in columns.values()), strict=True)
    return csv.written([list(columns), *rows], "\t").encode()


def _parquet(columns: Mapping[str, NDArray[Any]]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("Parquet needs pyarrow, which is not installed; `pip install mulde[parquet]`") from error
    stream = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.table({name: pyarrow.array(column) for name, column in columns.items()}), stream
    )
    return stream.getvalue()


def _texts(names: Iterable[str]) -> NDArray[Any]:
    """Names as Python strings: an array of numpy's text would lose NUL characters at their ends."""
    return np.array(list(names), dtype=object)


def _npz(table: Table) -> bytes:
    stream, arrays = io.BytesIO(), dict[str, Any]()
    for name, column in table.items():
        arrays[name] = column.astype(str) if column.dtype == object else column
        if column.dtype == object and (lost := np.flatnonzero(arrays[name] != column)).size:
            raise UsageError(f"numpy loses the end of the {name} {column[lost[0]]!r}; export to parquet or tsv")
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()
