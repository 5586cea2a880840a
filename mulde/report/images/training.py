"""Figures of the training of an image network: validation metrics and loss terms over the epochs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mulde.report.figure import Figure, by_epoch, flat, line_plot, small_plot
from mulde.report.images.runs import ImageRun

ALIKE = 1e-9
NOT_LOSSES = ("valid", "lr", "grad_norm", "test")


def curves(runs: Sequence[ImageRun]) -> Iterator[Figure]:
    """Validation metrics of all stages together, then the loss terms of each main fit."""
    metrics = dict.fromkeys(
        name for run in runs for log in run.logs.values() for line in log for name in line if name.startswith("valid/")
    )
    for metric in metrics:
        lines: list[tuple[str, str, list[tuple[float, float]]]] = []
        for run in runs:
            for stage, log in run.logs.items():
                points = [(float(line["epoch"]), float(line[metric])) for line in log if metric in line]
                if len(points) > 1 and not flat([value for _, value in points], ALIKE):
                    lines.append((_label(run, stage, runs), f"c{len(lines) % 8}", points))
        if lines:
            words = metric.removeprefix("valid/").replace("_", " ")
            about = "On the validation part; the test part is not used in training."
            rows = [
                {"training": name, "last": points[-1][1], "best": max(v for _, v in points)}
                for name, _, points in lines
            ]
            drawing = line_plot(lines, words, f"{words} over the epochs", height=400)
            yield Figure(f"Validation {words}", about, "", [drawing], rows=rows)
    for run in runs:
        if (figure := _losses(run, runs)) is not None:
            yield figure


def _losses(run: ImageRun, runs: Sequence[ImageRun]) -> Figure | None:
    """Terms of the loss of the main fit, each on its own scale."""
    log = run.logs.get("fit", [])
    terms = dict.fromkeys(name for line in log for name in line if "/" in name and name.split("/")[0] not in NOT_LOSSES)
    drawings = []
    for term in terms:
        points = by_epoch(log, term)
        if len(points) > 1 and not flat([value for _, value in points], ALIKE):
            drawings.append(small_plot(term, "c0", points))
    if not drawings:
        return None
    about = (
        "Terms of the loss (network/term), averaged over each epoch; lower is better. The scales of the plots differ."
    )
    return Figure(f"Loss of {_label(run, 'fit', runs)}", about, "", drawings, beside=True)


def _label(run: ImageRun, stage: str, runs: Sequence[ImageRun]) -> str:
    name = "student" if stage == "fit" else stage
    return name if len(runs) == 1 else f"{run.name}: {name}"
