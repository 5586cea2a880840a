"""Every scorer in every format of export: what is written can be opened, and scores as the model does."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kge_data.inverse import forward_id
from mulde.cli.export import Config
from mulde.kge.inference.onnx_runtime import OnnxScorer
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.rote import RotE
from mulde.kge.storage.run_folder import open_model, save_model
from mulde.pykeen import open_for_pykeen
from tests.cli.conftest import Command
from tests.contracts.scorer import SCORERS
from tests.kge import toys

GRAPH = toys.toy_graph()
QUERIES = np.arange(25), np.arange(25) % 3
ONNX = ("onnx", "onnx-int8")
FORMATS = [to for to in get_args(get_type_hints(Config)["to"]) if to not in ONNX]
PRECISION = {"fp16": 2e-2, "int8": 1e-1, "onnx": 1e-4, "onnx-int8": 1e-1}
CASES = [
    *((scorer, to) for to in FORMATS for scorer in SCORERS),
    *zip((ComplEx, RotE), ONNX, strict=True),  # all scorers: tests/kge/export, slow
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of PyKEEN
@pytest.mark.parametrize(("scorer", "to"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_what_is_written_can_be_opened(scorer: type[Scorer], to: str, command: Command, tmp_path: Path) -> None:
    if to in ONNX:
        pytest.importorskip("onnxscript"), pytest.importorskip("onnxruntime")
    if to == "parquet":
        pytest.importorskip("pyarrow")
    config = ModelConfig(dim=6, init_scale=0.3)
    model = KGEModel(scorer, GRAPH.num_entities, GRAPH.num_relations, config, seed=1).eval()
    save_model(tmp_path / "model", model, GRAPH, "")
    output = command("export", tmp_path / "model", "--to", to, "--out", tmp_path / "exported", "--max-loss", "1")
    assert output.code == 0, output.err
    scores = model.score_all(torch.from_numpy(QUERIES[0]), forward_id(torch.from_numpy(QUERIES[1])))
    if to in ("tsv", "parquet", "numpy"):
        np.testing.assert_array_equal(_entities(tmp_path / "exported", to), model.entity.detach().numpy())
    else:
        most = PRECISION.get(to, 1e-4)
        for found in _scores(tmp_path / "exported", to):
            assert_close(found, scores, rtol=most, atol=most)


def _scores(place: Path, to: str) -> list[torch.Tensor]:
    """Scores of `QUERIES` by each reader of an export."""
    heads, relations = map(torch.from_numpy, QUERIES)
    if to in ONNX:
        return [torch.from_numpy(OnnxScorer(place).score_all(QUERIES[0], forward_id(QUERIES[1])))]
    models: list[Any] = [open_model(place)]
    if to == "pykeen":
        opened = [open_for_pykeen(place)[0].eval(), torch.load(place / "trained_model.pkl", weights_only=False)]
        with torch.no_grad():
            theirs = [each.unmask_self_loops().predict_t(torch.stack([heads, relations], 1)) for each in opened]
        return [*theirs, models[0].score_all(heads, forward_id(relations))]
    return [model.score_all(heads, forward_id(relations)) for model in models]


def _entities(place: Path, to: str) -> np.ndarray[Any, Any]:
    """The vectors (e, 6) of all entities in exported tables."""
    if to == "numpy":
        return np.load(place / "entities.npz")["entity"]  # type: ignore[no-any-return]
    if to == "parquet":
        import pyarrow.parquet

        rows = pyarrow.parquet.read_table(place / "entities.parquet").to_pylist()
    else:
        with (place / "entities.tsv").open(newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["identifier"] for row in rows] == list(GRAPH.entities)
    return np.array([[row[f"entity.{i}"] for i in range(6)] for row in rows]).astype(np.float32)
