"""The output of `pack` and `export` for a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kge_data.tripleset import SPLITS
from mulde.cli._output import show
from mulde.kge.evaluation.calibration import FILE
from mulde.kge.export.bundle import Packed
from mulde.report.tables import table

PROTOCOL = "link prediction, filtered, both directions, realistic ranks"


def print_packed(packed: Packed, out: Path, as_json: bool, more: str = "", extra: dict[str, Any] | None = None) -> int:
    """Print a bundle's summary, MRR before and after, its size, and ``more``; return exit code 0."""
    manifest = packed.manifest
    protocol = f"{PROTOCOL}, with {manifest['condition']}" if manifest["graph_prior"] else PROTOCOL
    text = f"{manifest['summary']}\n\n{protocol}\n{table(losses(manifest))}\n\n"
    text += f"{out}: {size(out) / 1e6:,.3f} MB\n{contents(packed)}{more}"
    return show({**manifest, "path": str(out), "bytes": size(out), **(extra or {})}, text, as_json)


def contents(packed: Packed) -> str:
    """What a bundle contains beside the model."""
    data = packed.manifest["data"]
    triples = ", ".join(f"{data[split]:,} {split}" for split in SPLITS)
    if packed.manifest["triples"]:
        lines = [f"contains the triples of {data['name']} ({triples}); --without-triples leaves them out"]
    else:
        lines = [
            f"without the triples of {data['name']} ({triples}): no graph prior, no filter of known answers, and "
            "evaluation with --data only"
        ]
    if packed.manifest["kind"] == "model" and FILE not in packed.files:
        lines.append("no probabilities: they are fitted on validation triples, and there are none")
    return "\n".join(lines)


def losses(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows: split, MRR of the original and of the bundle, their difference, Hits@10 of the bundle."""
    rows = []
    for split, after in manifest["metrics"].items():
        before, after = manifest["metrics_before"][split]["realistic"], after["realistic"]
        lost = round(before["mrr"] - after["mrr"], 4) + 0.0  # avoids -0.0
        figures = {"MRR before": before["mrr"], "MRR after": after["mrr"], "lost": lost}
        rows.append({"split": split, **figures, "Hits@10": after["hits@10"]})
    return rows


def size(place: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(path.stat().st_size for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file())
