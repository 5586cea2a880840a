"""Export a model to another format and measure the loss of quality.

Examples:
    mulde export runs/umls/junior --to int8 --out small.zip --max-loss 0.005
    mulde export umls-8 --to onnx --out umls-8-onnx.zip --latency --threads 1
    mulde export umls-8 --to tsv --out umls-8-embeddings
    mulde export umls-8 --to pykeen --out umls-8-pykeen

Formats:
    fp16, int8      a quantised bundle, which every command opens: 16-bit
                    floats, or entities as 8-bit integers with one scale per
                    row
    onnx            a bundle with an ONNX model that computes the scores of all
                    entities from the embeddings; `mulde predict` adds self-loop
                    mask and graph prior, and needs no torch for it
    onnx-int8       the same with entities as 8-bit integers
    tsv, parquet, numpy
                    a folder of embeddings with their names
    pykeen          a folder that PyKEEN opens where mulde is installed; mulde
                    opens it without pickle

Bundles and PyKEEN's folders contain the triples of the graph, the other formats do not. --without-triples leaves them
out of a bundle. Predictions then have no graph prior, and known answers can be neither marked nor left out.

Bundles are evaluated on valid and test before and after the export. A bundle that loses more than --max-loss of the
validation MRR is not written.

A student of an image method has other options: `mulde export RUN --help` shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mulde.cli._output import announce, show
from mulde.config import Threads
from mulde.config.command_line import Positional, parse
from mulde.errors import UsageError
from mulde.files import refuse_existing
from mulde.report.tables import table

if TYPE_CHECKING:
    from mulde.kge.export.bundle import Original, Packed
    from mulde.kge.model.kge_model import KGEModel

FIRST = ("model", "to", "out", "max_loss", "without_triples", "latency", "data", "threads", "json")


@dataclass(frozen=True)
class Config:
    """What to export, and to which format."""

    model: Positional[Path]
    """Run folder, bundle, or name of a pretrained model (`mulde list models`)."""
    to: Literal["fp16", "int8", "onnx", "onnx-int8", "tsv", "parquet", "numpy", "pykeen"]
    """Format of the export; --help-all describes each."""
    out: Path
    """Path of the export; a bundle is a zip if it ends in .zip, everything else a new folder."""
    max_loss: float = 0.01
    """Largest loss of validation MRR; a bundle that loses more is not written."""
    without_triples: bool = False
    """Leave the triples of the graph out of a bundle; predictions then have no graph prior and do not mark known
    answers."""
    latency: bool = False
    """Also measure the latency of single queries with torch, ONNX Runtime and 8-bit entities."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    threads: Threads | None = None
    """Processor threads; by default all, and 1 with --latency."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde export", __doc__ or "", first=FIRST)
    from mulde.engine import process

    process.start()
    with process.threads(1 if settings.threads is None and settings.latency else settings.threads):
        return _exported(settings)


def _exported(settings: Config) -> int:
    import torch

    from mulde.cli._bundle import print_packed
    from mulde.cli._model import chosen
    from mulde.kge.export.bundle import Original

    threads = torch.get_num_threads()
    refuse_existing(settings.out)
    if settings.without_triples and settings.to == "pykeen":
        raise UsageError("--without-triples: PyKEEN's folder needs the training triples; choose another format")
    kept = not settings.without_triples
    original = Original.open(chosen(settings.model), settings.data, triples=kept, tell=announce)
    packed = _packed(original, settings)
    times = _latency(original.model, threads) if settings.latency else []
    more = f"\n\nsingle queries, {threads} thread{'s' * (threads != 1)}\n{table(times)}" if times else ""
    if packed is not None:
        packed.refuse_above(settings.max_loss)
        packed.write(settings.out)
        return print_packed(packed, settings.out, settings.json, more, {"latency": times})
    if original.model.graph_prior is not None:
        announce(f"{settings.to} holds the embeddings only, without the graph prior")
    _write_folder(original, settings)
    paths = sorted(settings.out.rglob("*"))
    written = {str(path.relative_to(settings.out)): path.stat().st_size for path in paths if path.is_file()}
    text = table([{"file": name, "bytes": count} for name, count in written.items()])
    if settings.to == "pykeen":
        contents = f"contains the {len(original.graph.train):,} training triples of {original.graph.name}"
    else:
        contents = f"contains the names of {original.graph.name}, none of its triples"
    result = {"path": str(settings.out), "files": written, "latency": times}
    return show(result, f"{settings.out}\n{text}\n{contents}{more}", settings.json)


def _packed(original: Original, settings: Config) -> Packed | None:
    """The bundle; None for a format that is none."""
    from mulde.kge.export.onnx import pack_onnx
    from mulde.kge.export.quantised import pack_quantised

    name = settings.out.stem
    if settings.to == "fp16" or settings.to == "int8":
        return pack_quantised(original, name, settings.to)
    if settings.to == "onnx" or settings.to == "onnx-int8":
        return pack_onnx(original, name, int8=settings.to == "onnx-int8")
    return None


def _write_folder(original: Original, settings: Config) -> None:
    """Write a format that is a folder of files."""
    from mulde.kge.export.tables import write_tables

    if settings.to == "tsv" or settings.to == "parquet" or settings.to == "numpy":
        write_tables(settings.out, original.model, original.graph, settings.to)
        return
    from mulde.pykeen import save_for_pykeen  # imports PyKEEN, which takes seconds

    save_for_pykeen(original.model, original.graph, settings.out)


def _latency(model: KGEModel, threads: int) -> list[dict[str, Any]]:
    """Latency of torch and ONNX Runtime as rows."""
    import copy

    from mulde.kge.export.onnx import to_onnx
    from mulde.kge.inference import latency

    single = copy.deepcopy(model).float()
    engines = {"torch": latency.torch_engine(single)}
    for name, int8 in (("ONNX", False), ("ONNX, int8 entities", True)):
        engines[name] = latency.onnx_engine(to_onnx(single, int8), threads)
    found = latency.measure(engines, latency.random_queries(single))
    return [{"engine": name, "p50 ms": times.p50, "p95 ms": times.p95} for name, times in found.items()]
