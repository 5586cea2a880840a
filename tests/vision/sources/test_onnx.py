"""ONNX files as teachers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mulde.errors import UsageError
from tests.vision.sources.opening import IMAGES, PIXELS, SAME, close, logits, opened


@pytest.fixture
def onnx_file(tmp_path: Path) -> Callable[..., str]:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def write(rows: int | str = "b", size: int | str = "h") -> str:
        """Averages over positions, and logits that are twice these."""
        nodes = [
            onnx.helper.make_node("GlobalAveragePool", ["images"], ["pool"]),
            onnx.helper.make_node("Flatten", ["pool"], ["flat"]),
            onnx.helper.make_node("Add", ["flat", "flat"], ["logits"]),
        ]
        kind = onnx.TensorProto.FLOAT
        values = [("images", [rows, 3, size, size]), ("pool", [rows, 3, 1, 1]), ("logits", [rows, 3])]
        image, pool, out = (onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in values)
        graph = onnx.helper.make_graph(nodes, "g", [image], [out, pool])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / "teacher.onnx")
        return str(tmp_path / "teacher.onnx")

    return write


def test_onnx(onnx_file: Callable[..., str], tmp_path: Path) -> None:
    found = opened(f"{onnx_file()},pooled=pool{SAME}")
    expected = IMAGES.mean((2, 3))
    features = copy.deepcopy(found)(IMAGES)
    close(features.pooled, expected), close(features.logits, 2 * expected)
    assert found.widths == (3,)
    fixed = opened(f"onnx:{onnx_file(3, 5)},mean=0,std=1")  # batches of three, 5 x 5 pixels
    own = torch.nn.functional.interpolate(PIXELS, (5, 5), mode="bilinear", antialias=True)
    close(logits(fixed), 2 * own.mean((2, 3)))
    with pytest.raises(UsageError, match='no output called "x"; there are logits, pool'):
        opened(f"{onnx_file()},pooled=x")
    with pytest.raises(UsageError, match=r"student: .* is an ONNX file, which cannot learn"):
        opened(onnx_file(), "student")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(UsageError, match=r"bad\.onnx: onnxruntime cannot open it"):
        opened(str(tmp_path / "bad.onnx"))
