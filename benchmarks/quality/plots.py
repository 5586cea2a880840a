"""Pictures of what is on record in ``results/``: quality by dimension, by wall time, and by what is left out.

    python benchmarks/plots.py            (or: make results)

Writes ``results/plots/``. What has no record yet has no picture; without matplotlib none is drawn.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from mulde.files import write_atomically

RESULTS = Path(__file__).resolve().parent.parent / "results"
KGEMB = {"wn18rr": 0.473, "fb15k-237": 0.314}  # RotH, 32 dimensions, of its README and, for FB15k-237, of its issue 6
MULDE = {"alone": "alone-[0-9]*", "taught by RotH and RefH (theirs apart)": "recommended-[0-9]*"}
COURSES = {
    "FB15k-237: AffineH 32-d": ("taught/fb15k-237-affineh", {
        "alone, binary loss": "junior-alone-binary-loss-[0-9]*",
        "the same, searched": "junior-alone-binary-loss-longer-*", "alone, 1vsall": "junior-alone-1vsall-*",
        "taught by ComplEx (its training apart)": "junior-taught-offline-longer-*", "the teacher, 400-d": "teacher",
    }),
    "FB15k-237: RotH 32-d, eight minutes": ("presets/fb15k-237-8m", MULDE),
    "WN18RR: RotH 32-d, six minutes": ("presets/wn18rr-6m", MULDE),
}  # fmt: skip


def main() -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no pictures: matplotlib is not installed", file=sys.stderr)
        return
    pictures = {"dimensions": dimensions(Figure), "courses": courses(Figure), "ablations": ablations(Figure)}
    (RESULTS / "plots").mkdir(exist_ok=True)
    for name, figure in pictures.items():
        if figure is not None:
            file = io.BytesIO()
            figure.savefig(file, format="png", dpi=130)
            write_atomically(RESULTS / "plots" / f"{name}.png", file.getvalue())


def dimensions(figure_of: Any) -> Any:
    """Test MRR against the dimension, an ensemble for each graph with more than one."""
    if not (path := RESULTS / "dimensions/table.json").exists():
        return None
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    graphs = [data for data, count in Counter(row["data"] for row in rows).items() if count > 1]
    figure = figure_of(figsize=(4 * len(graphs), 3.4), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(graphs), squeeze=False)[0], graphs, strict=True):
        own = [row for row in rows if row["data"] == data]
        dims = [row["dim"] for row in own]
        axes.plot(dims, [row["MRR"] for row in own], "o-", label="answers: with loops and closed world")
        axes.plot(dims, [row["vectors"] for row in own], "s--", label="vectors alone")
        axes.plot([32], [KGEMB[data]], "k*", label="KGEmb RotH, as published")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({32, *dims}), map(str, sorted({32, *dims})))
        axes.set_title(f"{data}: {own[0]['model']}", fontsize=9)
        axes.set_xlabel("dimension")
        axes.set_ylabel("test MRR")
        axes.legend(fontsize=7, loc="center right")
    return figure


def courses(figure_of: Any) -> Any:
    """Validation MRR against the seconds of the fit, as logged; a line for each seed."""
    figure = figure_of(figsize=(4.4 * len(COURSES), 3.4), layout="constrained")
    for axes, (title, (folder, kinds)) in zip(figure.subplots(1, len(COURSES)), COURSES.items(), strict=True):
        for number, (kind, pattern) in enumerate(kinds.items()):
            for i, place in enumerate(sorted((RESULTS / folder).glob(pattern))):
                line = course(place / "fit/log.jsonl.gz")
                axes.plot(*line, color=f"C{number}", linewidth=1, label="" if i else kind)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("seconds of the fit, one thread (the machine was shared)", fontsize=8)
        axes.set_ylabel("validation MRR")
        axes.legend(fontsize=7, loc="lower right")
    return figure


def course(log: Path) -> tuple[list[float], list[float]]:
    """Seconds and validation MRR of a logged fit."""
    with gzip.open(log, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    rows = [row for row in rows if "valid/mrr" in row]
    return [row["seconds"] for row in rows], [row["valid/mrr"] for row in rows]


def ablations(figure_of: Any) -> Any:
    """Bars of what each change does to MulDE's test MRR, an ensemble for each graph."""
    if not (path := RESULTS / "ablations.json").exists():
        return None
    rows = [row for row in json.loads(path.read_text(encoding="utf-8"))["rows"] if row["difference"] is not None]
    graphs = list(dict.fromkeys(row["data"] for row in rows))
    figure = figure_of(figsize=(3 + 3 * len(graphs), 5), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(graphs), squeeze=False, sharey=True)[0], graphs, strict=True):
        own = [row for row in rows if row["data"] == data][::-1]
        values = [row["difference"] for row in own]
        axes.barh([row["changed"] for row in own], values, color=["C3" if value < 0 else "C0" for value in values])
        axes.axvline(0, color="k", linewidth=0.8)
        axes.set_title(f"{data}, {own[0]['seeds']} seed(s)", fontsize=9)
        axes.set_xlabel("test MRR, less that of MulDE as it is", fontsize=8)
        axes.tick_params(labelsize=8)
    return figure


if __name__ == "__main__":
    main()
