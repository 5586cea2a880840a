"""Export to TSV, CSV, Parquet and numpy tables."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulde.files import write_atomically
from mulde.kge.export.bundle import Original
from mulde.kge.export.tables import write_tables
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.affineh import AffineH
from mulde.kge.scorers.complex import ComplEx
from tests.kge import toys


@pytest.mark.parametrize("form", ["tsv", "parquet", "numpy"])
def test_tables_hold_names_and_exact_numbers(form: Any, original: Original, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    model, graph = original.model, original.graph
    write_tables(tmp_path / "out", model, graph, form)
    entities, relations = (read(tmp_path / "out", name, form) for name in ("entities", "relations"))
    assert list(entities["identifier"]) == list(graph.entities)
    np.testing.assert_array_equal(block(entities, "entity", form), model.entity.detach().numpy())
    np.testing.assert_array_equal(np.array(entities["tail_bias"], np.float32), model.tail_bias.detach().numpy())
    assert list(relations["identifier"][:4]) == ["r0", "r0", "r1", "r1"]
    assert list(relations["direction"][:3]) == ["forward", "reciprocal", "forward"]
    np.testing.assert_array_equal(block(relations, "after", form), model.relation["after"].detach().numpy())
    curvature = model.curvature(torch.arange(2 * graph.num_relations))
    assert curvature is not None
    np.testing.assert_array_equal(np.array(relations["curvature"], np.float32), curvature.detach().numpy())
    about = json.loads((tmp_path / "out/about.json").read_text())
    assert about["entity"].startswith("tangent vectors at the origin of the Poincaré ball")


def test_what_the_numbers_of_complex_are(tmp_path: Path) -> None:
    graph = toys.toy_graph()
    write_tables(tmp_path / "out", toys.model(graph, ComplEx), graph, "tsv")
    about = json.loads((tmp_path / "out/about.json").read_text())
    assert about["score"].startswith("<query, tail> + head_bias[head]")


@pytest.mark.parametrize("form", ["tsv", "parquet"])
def test_matrices_are_spread_over_columns(form: Any, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    graph = toys.toy_graph()
    model = KGEModel(AffineH, graph.num_entities, graph.num_relations, ModelConfig(dim=4, init_scale=0.2))
    write_tables(tmp_path / "out", model, graph, form)
    relations, linear = read(tmp_path / "out", "relations", form), model.relation["linear"].detach().numpy()
    for i, j in np.ndindex(4, 4):
        np.testing.assert_array_equal(np.array(relations[f"linear.{i}.{j}"], np.float32), linear[:, i, j])
    assert "linear.0" not in relations


def read(folder: Path, name: str, form: str) -> Any:
    if form == "numpy":
        return np.load(folder / f"{name}.npz", allow_pickle=False)
    if form == "parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(folder / f"{name}.parquet").to_pydict()
    with (folder / f"{name}.tsv").open(newline="") as stream:
        head, *rows = csv.reader(stream, delimiter="\t")
    return dict(zip(head, zip(*rows, strict=True), strict=True))


def block(table: Any, name: str, form: str) -> Any:
    if form == "numpy":
        return table[name]
    return np.array([table[f"{name}.{i}"] for i in range(6)], dtype=np.float32).T


def test_a_full_disk_leaves_no_tables(original: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.name == "relations.tsv":
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, data)

    monkeypatch.setattr("mulde.kge.export.tables.write_atomically", full)
    with pytest.raises(OSError, match="no space left on the device"):
        write_tables(tmp_path / "out", original.model, original.graph, "tsv")
    assert list(tmp_path.iterdir()) == []
