"""Pictures of the results: quality by bytes, by dimension, by training time, and of the ablations.

    python -m benchmarks.quality.plots            (or: make results)

Writes ``results/quality-bytes.png``, ``results/curves.png``, ``results/dimensions/plot.png`` and
``results/ablations/plot.png``. Without matplotlib it writes none.
"""

from __future__ import annotations

import io
import sys
from typing import Any

from benchmarks.harness import records
from benchmarks.quality import ablations, dimensions
from benchmarks.quality.time_to_quality import PUBLISHED
from mulde.files import write_atomically

MULDE = {"baseline": "baseline", "distilled from RotH and RefH (their time not counted)": "recommended"}
CURVES = {
    "FB15k-237: AffineH 32-d": ("distilled/fb15k-237-affineh", {
        "baseline, binary loss": "baseline, binary loss",
        "baseline, searched settings": "baseline, binary loss, longer",
        "baseline, 1vsall": "baseline, 1vsall",
        "distilled from ComplEx (its time not counted)": "distilled (offline), longer",
        "ComplEx teacher, 400-d": "teacher",
    }),
    "FB15k-237: RotH 32-d, eight minutes": ("presets/fb15k-237-8m", MULDE),
    "WN18RR: RotH 32-d, six minutes": ("presets/wn18rr-6m", MULDE),
}  # fmt: skip
KINDS = {"teacher": "s", "distilled": "o", "baseline": "v", "PyKEEN": "D"}  # markers
ABOVE = ("teacher", "distilled")  # kinds with their labels above the markers; below for the others
LEFT = "AffineH 64-d\nint8"  # its label is to the left of its marker, because a teacher is above it


def main() -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no pictures: matplotlib is not installed", file=sys.stderr)
        return
    pictures = {
        "quality-bytes": quality_by_bytes(Figure), "curves": curves(Figure),
        "dimensions/plot": by_dimension(Figure), "ablations/plot": of_ablations(Figure),
    }  # fmt: skip
    for name, figure in pictures.items():
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=130)
        write_atomically(records.RESULTS / f"{name}.png", file.getvalue())


def quality_by_bytes(figure_of: Any) -> Any:
    """Test MRR, embeddings only, against the size of the model; PyKEEN's models below .42 are left to the table."""
    figure = figure_of(figsize=(9.6, 4.6), layout="constrained")
    graphs = {"FB15k-237": fb15k_237(), "WN18RR": wn18rr()}
    for axes, (graph, points) in zip(figure.subplots(1, len(graphs)), graphs.items(), strict=True):
        for number, (kind, marker) in enumerate(KINDS.items()):
            own = [(size, mrr, label) for own_kind, label, size, mrr in points if own_kind == kind]
            if own:
                axes.plot([it[0] for it in own], [it[1] for it in own], marker, color=f"C{number}", label=kind)
            for size, mrr, label in own:
                above = kind in ABOVE
                place: Any = {"xytext": (0, 6 if above else -6), "va": "bottom" if above else "top", "ha": "center"}
                if label == LEFT:
                    place = {"xytext": (-7, 0), "va": "center", "ha": "right"}
                axes.annotate(label, (size, mrr), fontsize=8, linespacing=0.95, textcoords="offset points", **place)
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 5, 10, 20, 40], ["1", "2", "5", "10", "20", "40"])
        axes.minorticks_off()
        axes.margins(x=0.14, y=0.16)
        axes.set_title(graph, fontsize=10)
        axes.set_xlabel("size of the model file, MB")
        axes.set_ylabel("test MRR, embeddings only")
        axes.legend(fontsize=8, loc="lower right")
    return figure


def fb15k_237() -> list[tuple[str, str, float, float]]:
    """Kind, label, MB and MRR of the models of FB15k-237 with 32 and 8 bits."""
    kinds = {
        "teacher, ComplEx": ("teacher", "ComplEx 400-d"), "small ComplEx": ("baseline", "ComplEx 66-d"),
        "AffineH, distilled": ("distilled", "AffineH 32-d"), "AffineH, distilled, 64-d": ("distilled", "AffineH 64-d"),
        "RotH, distilled by MulDE": ("distilled", "RotH 32-d"),
    }  # fmt: skip
    points = [
        (*kinds[it["model"]], it["MB"], it["metrics"]["embeddings_only"]["mrr"], it["bits"])
        for it in records.read(records.RESULTS / "bits")
        if it["bits"] != 16
    ]
    found = [(kind, label + "\nint8" * (bits == 8), size, mrr) for kind, label, size, mrr, bits in points]
    for experiment, variant, label in (
        ("distilled/fb15k-237-affineh", "baseline, binary loss, longer", "AffineH 32-d"),
        ("presets/fb15k-237-8m", "baseline", "RotH 32-d"),
    ):
        own = [it for it in records.read(records.RESULTS / experiment) if it["variant"] == variant]
        found.append(("baseline", label, own[0]["MB"], records.means(own)["MRR"]))
    return found


def wn18rr() -> list[tuple[str, str, float, float]]:
    """Kind, label, MB and MRR of the models of WN18RR, PyKEEN's among them."""
    found = []
    for it in records.read(records.RESULTS / "from_pykeen/wn18rr"):
        mrr = it["metrics"]["embeddings_only"]["mrr"]
        if "variant" not in it and mrr >= 0.42:
            found.append(("PyKEEN", it["run"].replace(", ", "\n", 1), it["MB"], mrr))
    for it in records.read(records.RESULTS / "pipeline/wn18rr-two"):
        stage = it["run"].partition("/")[2]
        if stage.startswith("teachers/"):
            label = {"roth": "RotH 64-d", "refh": "RefH 64-d"}[stage.removeprefix("teachers/").partition("-")[0]]
            found.append(("teacher", label, it["MB"], it["metrics"]["embeddings_only"]["mrr"]))
    for kind, variant, label in (("baseline", "baseline", "RotH 32-d"), ("distilled", "recommended", "RotH 32-d")):
        own = [it for it in records.read(records.RESULTS / "presets/wn18rr-6m") if it["variant"] == variant]
        found.append((kind, label, own[0]["MB"], records.means(own)["MRR"]))
    return found


def by_dimension(figure_of: Any) -> Any:
    """Test MRR against the dimension, one axes for each graph."""
    found = records.read(records.RESULTS / "dimensions")
    graphs = list(dict.fromkeys(it["data"]["name"] for it in found))
    figure = figure_of(figsize=(4 * len(graphs), 3.4), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(graphs), squeeze=False)[0], graphs, strict=True):
        own = sorted((it for it in found if it["data"]["name"] == data), key=lambda it: int(it["dim"]))
        dims, rows = [it["dim"] for it in own], [records.figures(it) for it in own]
        axes.plot(dims, [row["MRR with prior"] for row in rows], "o-", label="with graph prior")
        axes.plot(dims, [row["MRR"] for row in rows], "s--", label="embeddings only")
        axes.plot([32], [PUBLISHED[data]], "k*", label="KGEmb RotH, as published")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({32, *dims}), map(str, sorted({32, *dims})))
        axes.set_title(f"{data}: {dimensions.NAMES[data]}", fontsize=9)
        axes.set_xlabel("dimension")
        axes.set_ylabel("test MRR")
        axes.legend(fontsize=7, loc="center right")
    return figure


def curves(figure_of: Any) -> Any:
    """Validation MRR against the seconds of the fit, a line for each seed."""
    figure = figure_of(figsize=(4.4 * len(CURVES), 3.4), layout="constrained")
    for axes, (title, (experiment, kinds)) in zip(figure.subplots(1, len(CURVES)), CURVES.items(), strict=True):
        found = records.read(records.RESULTS / experiment)
        for number, (kind, variant) in enumerate(kinds.items()):
            for i, it in enumerate(it for it in found if it["variant"] == variant):
                curve = it["curve"]
                label = "" if i else kind
                axes.plot(curve["seconds"], curve["valid_mrr"], color=f"C{number}", linewidth=1, label=label)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("seconds of training, one thread (shared machine)", fontsize=8)
        axes.set_ylabel("validation MRR")
        axes.legend(fontsize=7, loc="lower right")
    return figure


def of_ablations(figure_of: Any) -> Any:
    """Bars of the change in test MRR by each change of MulDE, one axes for each graph."""
    rows = ablations.differences(records.read(records.RESULTS / "ablations"))
    rows = [row for row in rows if row["difference"] is not None]
    graphs = list(dict.fromkeys(row["data"] for row in rows))
    figure = figure_of(figsize=(3 + 3 * len(graphs), 5), layout="constrained")
    for axes, data in zip(figure.subplots(1, len(graphs), squeeze=False, sharey=True)[0], graphs, strict=True):
        own = [row for row in rows if row["data"] == data][::-1]
        values = [row["difference"] for row in own]
        axes.barh([row["changed"] for row in own], values, color=["C3" if value < 0 else "C0" for value in values])
        axes.axvline(0, color="k", linewidth=0.8)
        axes.set_title(f"{data}, {own[0]['seeds']} seed(s)", fontsize=9)
        axes.set_xlabel("difference in test MRR, embeddings only", fontsize=8)
        axes.tick_params(labelsize=8)
    return figure


if __name__ == "__main__":
    main()
