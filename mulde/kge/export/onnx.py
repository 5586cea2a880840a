"""ONNX models: heads (b,) and relations (b,) -> scores (b, e) of all entities, for any b, by the embeddings only.

The formula is that of ``mulde/kge/model/scoring.py``; the spaces of this file write it in functions that ONNX has and
that stay accurate near zero:

    sinh²τ/c and sinhτ·coshτ/τ for a tail, and arcosh(1 + y) = 2 arsinh √(y/2) for the distance

(The exporter replaces expm1 and log1p by exp - 1 and log(1 + ·), which are inaccurate there.) With ``int8`` the
entities are 8-bit integers with one scale per row, dequantised when the model runs.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kge_data.inverse import num_internal
from mulde.errors import MissingExtra, UsageError
from mulde.geometry import poincare
from mulde.geometry.spaces import Curvature, Lorentz, PoincareBall, Space
from mulde.kge.evaluation.calibration import FILE, as_file
from mulde.kge.evaluation.link_prediction import uses_graph
from mulde.kge.export.bundle import Original, Packed, assemble, calibration_for
from mulde.kge.inference.onnx_runtime import FORMAT, KEY, ONNX, RANKING, checksum, ranking, session
from mulde.kge.inference.top_k import TorchPredictor
from mulde.kge.model.graph_terms import GraphTerms
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scoring import similarities
from mulde.kge.storage.quantisation import rows_to_int8

ROWS = 64  # queries per call of the ranker
ENTITY = "model.entity"  # name of the table in the exported graph
TOLERANCE = 1e-4  # largest difference of an exported score, relative to its size if that is above 1
COMPARED = 200  # random queries that are compared


class AllTails(nn.Module):
    """Scores of all tails as a pure function of ids, for tracing."""

    squares: Tensor

    def __init__(self, model: KGEModel):
        super().__init__()
        self.model = model
        self.register_buffer("squares", model.entity.detach().square().sum(-1))

    def forward(self, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores (b, e) of all entities for heads (b,) and internal relations (b,)."""
        queries, tails = self.model.query(heads, relations), self.model.tails()
        curvature = None if queries.curvature is None else queries.curvature.reshape(-1, 1)
        space = onnx_space(tails.space)
        offset, scale, slope = (term.unsqueeze(-1) for term in space.query_terms(queries.points, queries.curvature))
        inner = functional.linear(slope * queries.points, tails.vectors)
        scores = similarities(inner, (offset, scale, 1.0), space.tail_terms(self.squares, curvature), space, curvature)
        if queries.bias is not None:
            scores = scores + queries.bias.unsqueeze(-1)
        if tails.bias is not None:
            scores = scores + tails.bias
        return scores


class _OnnxTails(PoincareBall):
    """Terms of tangent tails by sinh and cosh."""

    def tail_terms(self, squares: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor]:
        if self.manifold:
            return super().tail_terms(squares, curvature)
        tau = (curvature * squares).clamp_min(poincare.TINY).sqrt()
        capped = tau.clamp_max(poincare.FAR)  # sinh² of more would overflow float32
        sinh = capped.sinh()
        return sinh.square() / curvature, sinh * capped.cosh() / tau


class _OnnxBall(_OnnxTails):
    """The geodesic distance by arsinh."""

    def similarity(self, z: Tensor, curvature: Curvature = None) -> Tensor:
        half = curvature * z  # y/2
        if self.artanh_limit is not None:
            half = half.clamp_max(poincare.cap(self.artanh_limit) / 2)
        return -(2 * half.clamp_min(1e-30).sqrt().asinh()).square() / curvature


class _OnnxLorentz(_OnnxTails, Lorentz):
    """The Lorentzian distance, which needs no other function."""


def onnx_space(space: Space) -> Space:
    """A space in functions that ONNX has."""
    if not isinstance(space, PoincareBall):
        return space
    own = _OnnxLorentz if isinstance(space, Lorentz) else _OnnxBall
    return own(space.artanh_limit, space.manifold)


def to_onnx(model: KGEModel, int8: bool = False) -> bytes:
    """Content of an ONNX file.

    Raises
    ------
    UsageError
        If the extra `export` is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # needed by torch's exporter
    except ImportError as error:
        raise MissingExtra(f"ONNX needs {error.name}, which is not installed; `pip install mulde[export]`") from error
    if int8:
        whole, scale = rows_to_int8(model.entity.detach())
        model = _rounded(model)  # constants of the graph depend on the table
    # two tensors, because one passed twice would become one input
    ids = torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the exporter about itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program: Any = torch.onnx.export(
            AllTails(model).eval().requires_grad_(False),
            ids,
            input_names=["heads", "relations"],
            output_names=["scores"],
            dynamic_shapes={"heads": {0: batch}, "relations": {0: batch}},
            dynamo=True,
            verbose=False,
        )
    graph = program.model_proto
    if int8:
        _quantise(graph, whole, scale, onnx)
    _strip(graph)
    onnx.helper.set_model_props(graph, {KEY: FORMAT})
    onnx.checker.check_model(graph)
    content: bytes = graph.SerializeToString()
    return content


class OnnxRanker:
    """An ONNX model as a source of scores for link prediction.

    Parameters
    ----------
    terms
        What the graph adds to its scores, if any.
    """

    def __init__(self, content: bytes, threads: int = 1, terms: GraphTerms | None = None):
        self.session, self.terms = session(content, threads), terms

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (len(rows), e)) for queries (b,) with internal relation ids."""
        for rows in torch.arange(len(heads)).split(ROWS):
            ids = {"heads": heads[rows].numpy(), "relations": relations[rows].numpy()}
            scores = self.session.run(None, ids)[0]
            if self.terms is not None:
                self.terms.add_(scores, ids["heads"], ids["relations"])
            yield rows, torch.from_numpy(scores)


def largest_difference(content: bytes, model: KGEModel, heads: Tensor, relations: Tensor) -> float:
    """Largest difference from torch's scores of queries (b,), relative to the score's size if that is above 1."""
    differences = [0.0]
    expected = torch.empty(len(heads), model.num_entities)
    for rows, scores in model.blocks(heads, relations, embeddings_only=True):
        expected[rows] = scores.float()
    for rows, scores in OnnxRanker(content).blocks(heads, relations):
        off = (scores - expected[rows]).abs() / expected[rows].abs().clamp_min(1)
        differences.append(off.max().item())
    return max(differences)


def pack_onnx(original: Original, name: str, int8: bool = False) -> Packed:
    """A bundle of a model in ONNX, with the calibration of its probabilities.

    Raises
    ------
    UsageError
        If a package is missing, or scores of the exported float32 model differ from torch's.
    """
    model = copy.deepcopy(original.model).float()
    content = to_onnx(model, int8)
    if not int8:
        _check_scores(content, model)
    terms, threads = TorchPredictor(model).terms, torch.get_num_threads()
    files = {ONNX: content, RANKING: ranking(terms)}
    measured, weights = (_rounded(model), "") if int8 else (original.model, original.description["weights"])
    if (fitted := calibration_for(original, measured, weights)) is not None:
        files[FILE] = as_file(replace(fitted, model=checksum(content)))
    metrics = original.measure(OnnxRanker(content, threads, terms))
    only = original.measure(OnnxRanker(content, threads)) if uses_graph(original.model) else metrics
    return assemble(original, name, "onnx", "onnx-int8" if int8 else "onnx", files, metrics, only)


def _rounded(model: KGEModel) -> KGEModel:
    """The model with its entities rounded to 8 bits."""
    model = copy.deepcopy(model)
    whole, scale = rows_to_int8(model.entity.detach())
    with torch.no_grad():
        model.entity.copy_(whole * scale.unsqueeze(1))
    return model


def _check_scores(content: bytes, model: KGEModel) -> None:
    draw = torch.Generator().manual_seed(0)
    heads = torch.randint(model.num_entities, (COMPARED,), generator=draw)
    relations = torch.randint(num_internal(model.num_relations), (COMPARED,), generator=draw)
    difference = largest_difference(content, model, heads, relations)
    if not difference <= TOLERANCE:
        raise UsageError(
            f"the ONNX model's scores differ by {difference:.1e} from torch's, more than {TOLERANCE:g}; nothing was "
            "written; check that the scores fit float32, or report an error of the exporter"
        )


def _quantise(graph: Any, whole: Tensor, scale: Tensor, onnx: Any) -> None:
    """Replace the entity table by 8-bit rows and their scales."""
    names = [f"{ENTITY}.int8", f"{ENTITY}.scale"]
    kept = [table for table in graph.graph.initializer if table.name != ENTITY]
    if len(kept) == len(graph.graph.initializer):
        raise UsageError(
            f"int8: expected a table {ENTITY} in the exported graph, found none; use another version of torch"
        )
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)
    for name, table in zip(names, (whole, scale), strict=True):
        graph.graph.initializer.append(onnx.numpy_helper.from_array(table.numpy(), name))
    graph.graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", names, [ENTITY], axis=0))


def _strip(graph: Any) -> None:
    """Remove the source locations of operations: paths of this machine, and most of a small file."""
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for value in (*graph.graph.input, *graph.graph.output):
        del value.metadata_props[:]
