"""Pack a student into one bundle with its model card.

Examples:
    mulde pack runs/small
    mulde pack runs/small --dtype float16 --out small.zip
    mulde predict small.zip photo.jpg

A bundle is a zip if --out ends in .zip, otherwise a folder. Checksums are verified when it is opened, and it contains
no pickles. Every command accepts it in place of a run folder. It contains no pictures. The metrics in its card are
measured on the data of the training, if they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mulde.cli._bundle import size
from mulde.cli._output import announce, show
from mulde.cli.images._student import opened
from mulde.config import Threads
from mulde.config.command_line import Positional, parse
from mulde.files import file_name, refuse_existing
from mulde.report.tables import table

if TYPE_CHECKING:
    from mulde.vision.export.packing import Packed

FIRST = ("model", "out", "dtype", "data", "network", "threads", "json")


@dataclass(frozen=True)
class Config:
    """What to pack."""

    model: Positional[Path]
    """Run folder or bundle of an image method."""
    out: Path | None = None
    """Path of the bundle, NAME.zip or a folder; by default a zip in this folder, named after the run."""
    dtype: Literal["float16", "float32"] = "float32"
    """Precision of the weights; float16 halves the file."""
    data: str | None = None
    """Labelled images for the metrics of the card; by default those of the training."""
    network: str | None = None
    """The network, if it is one of your own: file.py:function or module:function."""
    threads: Threads | None = None
    """Processor threads; by default all."""
    json: bool = False
    """Print the manifest as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde pack", __doc__ or "", first=FIRST)
    out = settings.out or Path(f"{file_name(settings.model.resolve().stem)}.zip")
    refuse_existing(out)
    with opened(settings.model, settings.network, "cpu", settings.threads) as (student, description, _):
        from mulde.vision.export.packing import Original, pack

        original = Original(settings.model, student, description, settings.data, announce)
        packed = pack(original, out.stem, settings.dtype)
        packed.write(out)
    return print_packed(packed, out, settings.json)


def print_packed(packed: Packed, out: Path, as_json: bool, times: Sequence[dict[str, Any]] = ()) -> int:
    """Print a bundle's summary, its metrics, the loss, its size, and latencies; return exit code 0."""
    manifest = packed.manifest
    parts = [manifest["summary"]]
    if rows := metric_rows(manifest):
        parts.append(table(rows))
    if times:
        parts.append(f"one picture at a time\n{table(times)}")
    parts.append(f"{out}: {size(out) / 1e6:,.3f} MB")
    result = {**manifest, "path": str(out), "bytes": size(out), "latency": list(times)}
    return show(result, "\n\n".join(parts), as_json)


def metric_rows(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows: part, metrics of the bundle, and what the first of them has lost."""
    rows = []
    for part, after in manifest["metrics"].items():
        before = manifest["metrics_before"].get(part, {})
        main = next(iter(after))
        lost = round(before[main] - after[main], 4) + 0.0 if main in before else None  # avoids -0.0
        named = {name.replace("_", " "): value for name, value in after.items()}
        rows.append({"part": part, **named, f"lost {main.replace('_', ' ')}": lost})
    return rows
