"""Figures of the training: validation MRR and loss terms over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mulde.report.figure import Figure, by_epoch, flat, keys, line_plot, small_plot
from mulde.report.quality import ALIKE
from mulde.report.runs import Run, Stage

CHANGE = 0.01  # of a loss term, relative to its largest value, below which its curve is not drawn


def learning(stages: Sequence[Stage]) -> Figure | None:
    """Validation MRR over the epochs."""
    fitted = [stage for stage in stages if len(stage.curve) > 1]
    if not fitted:
        return None
    curves = [(it.name, it.role, [(line["epoch"], line["valid/mrr"]) for line in it.curve]) for it in fitted]
    drawn = [curve for curve in curves if not flat([value for _, value in curve[2]], ALIKE)]
    values = {it.name: [line["valid/mrr"] for line in it.curve] for it in fitted}
    rising = [name for name, each in values.items() if each[-1] - max(each[:-1]) > ALIKE]
    found = f"Still rising at the last evaluation: {', '.join(rising)}; longer training may help." if rising else ""
    about = (
        "MRR on the validation split, without graph prior. Each training keeps the weights of its best evaluation. The "
        "test split is not used."
    )
    if hidden := [name for name, _, _ in curves if name not in {drawn_name for drawn_name, _, _ in drawn}]:
        about += f" Not drawn, because they change by less than {ALIKE}: {', '.join(hidden)}."
    rows = [{"model": it.name, **_ending(it)} for it in fitted]
    drawings = [line_plot(drawn, "validation MRR", "Validation MRR over the epochs", height=400)] if drawn else []
    legend = keys([it for it in fitted if it.name in {name for name, _, _ in drawn}], "curve")
    return Figure("Training", about, found, drawings, legend, rows=rows)


def _ending(stage: Stage) -> dict[str, Any]:
    record = stage.record
    return {
        "epochs": record.get("epochs"),
        "stopped by": record.get("stopped_by"),
        "best epoch": record.get("best_epoch"),
        "best validation MRR": record.get("best_metrics", {}).get("valid/mrr"),
        "seconds": round(record.get("seconds", 0)),
    }


def losses(run: Run) -> Figure | None:
    """Terms of a Junior's loss, each on its own scale."""
    junior = run.junior
    terms = [
        name
        for name in (junior.log[0] if junior and junior.log else {})
        if "/" in name and name.split("/")[0] not in ("valid", "lr", "attention")
    ]
    if junior is None or len(junior.log) < 2 or not terms:
        return None
    meanings = {
        "junior/hard": "the Junior's loss on the training triples",
        "junior/soft": "the Junior's loss on the soft labels of the teachers",
        "senior/hard": "the Senior's loss on the training triples",
    }
    drawings, drawn = [], []
    for term in terms:
        points = by_epoch(junior.log, term)
        values = [value for _, value in points]
        if len(points) > 1 and not flat(values, CHANGE * max(map(abs, values))):
            drawings.append(small_plot(term, "senior" if term.startswith("senior") else "junior", points))
            drawn.append(term)
    if not drawings:
        return None
    explained = "; ".join(f"{term}: {meanings[term]}" for term in drawn if term in meanings)
    about = "Terms of the loss, averaged over each epoch; lower is better. The scales of the plots differ."
    if explained:
        about += f" {explained}."
    return Figure(f"Loss terms of {junior.name}", about, "", drawings, beside=True)
