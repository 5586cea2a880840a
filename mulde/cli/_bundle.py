"""What `pack` and `export` say about a bundle they have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mulde.cli._output import show
from mulde.kge.export.bundle import Packed
from mulde.report.tables import table

PROTOCOL = "link prediction, filtered, both directions, realistic ranks"


def told(packed: Packed, out: Path, as_json: bool, more: str = "", facts: dict[str, Any] | None = None) -> int:
    """Print what it is, MRR before and after, its size, and ``more``; exit code 0."""
    text = f"{packed.manifest['summary']}\n\n{PROTOCOL}\n{table(losses(packed.manifest))}\n\n"
    text += f"{out}: {size(out) / 1e6:,.3f} MB{more}"
    return show({**packed.manifest, "path": str(out), "bytes": size(out), **(facts or {})}, text, as_json)


def losses(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows: split, MRR of the model and of what is in the bundle, the difference, Hits@10 of what is in it."""
    rows = []
    for split, after in manifest["metrics"].items():
        before, after = manifest["metrics_before"][split]["realistic"], after["realistic"]
        lost = round(before["mrr"] - after["mrr"], 4) + 0.0  # no minus before a zero
        figures = {"MRR before": before["mrr"], "MRR after": after["mrr"], "lost": lost}
        rows.append({"split": split, **figures, "hits@10": after["hits@10"]})
    return rows


def size(place: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    return sum(path.stat().st_size for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file())
