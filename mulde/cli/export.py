"""Export a trained model for other programs, with the loss measured.

Examples:
    mulde export runs/umls/run/junior --to int8 --out small.zip --max-loss 0.005
    mulde export umls-8 --to onnx --out umls-8-onnx.zip --latency --threads 1
    mulde export umls-8 --to tsv --out umls-8-vectors
    mulde export umls-8 --to pykeen --out umls-8-pykeen

Forms:
    fp16, int8      a bundle with fewer bits, which every command opens: floats
                    of 16 bits, or entities as integers of 8 with a scale per
                    row
    onnx            a bundle with an ONNX model, from heads and relations to the
                    scores of all entities; OnnxScorer in
                    OnnxScorer answers with it without torch
    onnx-int8       the same with entities as integers of 8 bits
    tsv, parquet, numpy
                    a folder of embeddings with their names
    pykeen          a folder that plain PyKEEN opens, and mulde without a pickle

What is written as a bundle is ranked on valid and test before and after, and refused where it loses more than
--max-loss on valid.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from mulde.cli._bundle import size, told
from mulde.cli._output import announce, show
from mulde.config.command_line import Positional, parse
from mulde.engine import process
from mulde.errors import UsageError
from mulde.files import refuse_existing
from mulde.kge.export.bundle import Original, Packed, assemble, pack
from mulde.kge.export.onnx import OnnxRanker, largest_difference, to_onnx
from mulde.kge.export.tables import Form, write_tables
from mulde.kge.inference import latency
from mulde.kge.inference.onnx_runtime import ONNX, PRIOR
from mulde.kge.model.kge_model import KGEModel
from mulde.report.tables import table

CLOSE = 1e-4  # largest difference of an ONNX score, as a share of its size where that is above 1
COMPARED = 200  # queries that are compared


@dataclass(frozen=True)
class Config:
    """What to export, and as what."""

    model: Positional[Path]
    """Run folder of the model, a bundle, or a name of `mulde list models`."""
    to: Literal["fp16", "int8", "onnx", "onnx-int8", "tsv", "parquet", "numpy", "pykeen"]
    """Form of the export, see above."""
    out: Path
    """Where to write; a bundle is a zip where this ends in .zip, everything else a new folder."""
    max_loss: float = 0.01
    """Largest loss of validation MRR; an export that loses more is not written."""
    latency: bool = False
    """Also measure how long a query takes, one at a time, with torch, ONNX Runtime and 8-bit entities."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    threads: int | None = None
    """Processor threads; by default all, and 1 where latency is measured."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde export", __doc__ or "")
    threads = 1 if settings.threads is None and settings.latency else settings.threads
    process.start(threads)
    refuse_existing(settings.out)
    original = Original.open(settings.model, settings.data)
    packed = _packed(original, settings)
    times = _latency(original.model, threads or torch.get_num_threads()) if settings.latency else []
    more = f"\n\none query at a time, {threads} thread{'s' * (threads != 1)}\n{table(times)}" if times else ""
    if packed is not None:
        packed.refuse_above(settings.max_loss)
        packed.write(settings.out)
        return told(packed, settings.out, settings.json, more, {"latency": times})
    if original.model.graph_prior is not None:
        announce(f"{settings.to} holds the vectors alone, without what the model learned of the closed world")
    if settings.to == "pykeen":
        from mulde.pykeen import save_for_pykeen  # imports PyKEEN, which takes seconds

        save_for_pykeen(original.model, original.graph, settings.out)
    else:
        assert settings.to in get_args(Form)
        write_tables(settings.out, original.model, original.graph, settings.to)  # type: ignore[arg-type]
    written = {str(path.relative_to(settings.out)): size(path) for path in sorted(settings.out.rglob("*"))}
    text = table([{"file": name, "bytes": count} for name, count in written.items()])
    facts = {"path": str(settings.out), "files": written, "latency": times}
    return show(facts, f"{settings.out}\n{text}{more}", settings.json)


def _packed(original: Original, settings: Config) -> Packed | None:
    """The bundle, for forms that are one."""
    name = settings.out.stem
    if settings.to in ("fp16", "int8"):
        return pack(original, name, "float16" if settings.to == "fp16" else "int8")
    if not settings.to.startswith("onnx"):
        return None
    model = copy.deepcopy(original.model).float()
    content = to_onnx(model, int8=settings.to == "onnx-int8")
    if settings.to == "onnx":
        _refuse_other_scores(content, model)
    files, world = {ONNX: content}, original.model.graph_prior
    if world is not None:
        files[PRIOR] = json.dumps(world.weights.tolist()).encode()
    metrics = original.measure(OnnxRanker(content, torch.get_num_threads(), world))
    return assemble(original, name, "onnx", settings.to, files, metrics)


def _refuse_other_scores(content: bytes, model: KGEModel) -> None:
    draw = torch.Generator().manual_seed(0)
    heads = torch.randint(model.num_entities, (COMPARED,), generator=draw)
    relations = torch.randint(2 * model.num_relations, (COMPARED,), generator=draw)
    difference = largest_difference(content, model, heads, relations)
    if not difference <= CLOSE:
        raise UsageError(
            f"the ONNX model's scores differ by {difference:.1e} from torch's, more than {CLOSE:g}; nothing was "
            "written; a mistake of the exporter, or scores beyond float32?"
        )


def _latency(model: KGEModel, threads: int) -> list[dict[str, Any]]:
    single = copy.deepcopy(model).float()
    engines = {"torch": latency.torch_engine(single)}
    for name, int8 in (("ONNX", False), ("ONNX, int8 entities", True)):
        engines[name] = latency.onnx_engine(to_onnx(single, int8), threads)
    return latency.measure(engines, single)
