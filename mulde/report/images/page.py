"""The HTML report of image runs: figures, networks with sizes and latency, curves, and the worst errors as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mulde.errors import UsageError
from mulde.report.cards import size
from mulde.report.figure import Listing
from mulde.report.images.runs import ImageRun
from mulde.report.images.training import curves
from mulde.report.images.worst import kept_pictures, worst_errors
from mulde.report.rendering import render
from mulde.storage.format import WEIGHTS
from mulde.vision.export.latency import latency_rows
from mulde.vision.inference.evaluation import MAIN, evaluate
from mulde.vision.inference.labelled import Labelled, labelled
from mulde.vision.inference.loaded import TorchOutputs
from mulde.vision.storage.student import Student, open_student

MODELS_NOTE = (
    "Networks of the training with their test metrics, as it measured them. “ms” is the median time of one picture on "
    "one processor thread, “ms, p95” the 95th percentile; they are measured for networks that were kept."
)
PROTOCOL = {
    "classify": (
        "The class with the largest logit is predicted. Balanced accuracy is the mean recall of the classes. The "
        "calibration error (ece) is the mean distance between the probability of the predicted class and the fraction "
        "of right predictions, over ten bins of equal width."
    ),
    "detect": "Average precision as COCO defines it: the mean over IoU thresholds from .5 to .95 and over classes.",
    "segment": "Mean intersection over union of the classes without the background, over the pixels of all pictures.",
    "embed": (
        "Accuracy of a linear probe, and of the five nearest neighbours by cosine, on features of the training part."
    ),
}
MOST = 30  # classes of which the confusion is shown


def page(runs: Sequence[ImageRun], data: str | None = None, own: Student | None = None, latency: bool = True) -> str:
    """The report as HTML.

    Parameters
    ----------
    runs
        Runs, the foremost first.
    data
        Labelled images for the errors; None: those of the training.
    own
        The student of the first run, where its network is one of the user's.
    latency
        Whether to measure the latency.

    Raises
    ------
    UsageError
        If Jinja2 is not installed, or ``data`` cannot be read.
    """
    run, missing = runs[0], list[str]()
    student = own or open_student(run.folder)
    model = TorchOutputs(student)
    part = _labelled(model, run, data, missing)
    found: dict[str, Any] = {} if part is None else evaluate(model, part)
    times = {run.name: _latencies(run, student) for run in runs} if latency else {}
    gallery = None if part is None else worst_errors(model, part)
    galleries = [*([] if gallery is None else [gallery]), *kept_pictures(run.folder)]
    models = _models(runs, times)
    return render(
        title=f"{run.description['data']['name'] or run.name}: a student by {run.description['method']}",
        cards=list(_cards(run, found, part, times.get(run.name, {}))),
        intro=[_intro(run)],
        models=models,
        distilled=[i for i, row in enumerate(models) if row["network"].endswith("student")],
        models_note=MODELS_NOTE,
        protocol=PROTOCOL[run.description["task"]],
        listings=list(_listings(found, student)),
        galleries=galleries,
        figures=list(curves(runs)),
        missing=missing,
        settings=[(each.name, each.description["settings"]) for each in runs if each.description.get("settings")],
        checksum=run.description["data"]["checksum"] or None,
    )


def _labelled(model: TorchOutputs, run: ImageRun, data: str | None, missing: list[str]) -> Labelled | None:
    try:
        return labelled(model, run.description, data)
    except UsageError as error:
        if data is not None:
            raise
        missing.append(f"Errors are not shown, because the images were not found: {error}.")
        return None


def _cards(
    run: ImageRun, found: dict[str, Any], part: Labelled | None, times: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, str, str]]:
    main = MAIN[run.description["task"]]
    if main in found and part is not None:
        which = "all" if part.part == "all" else f"the {part.part} part of the"
        yield f"{found[main]:.3f}", main.replace("_", " "), f"of the student, on {which} images ({found['images']:,})"
    if "ece" in found:
        yield f"{found['ece']:.3f}", "ECE", "calibration error of the probability of the predicted class"
    weights = run.folder / WEIGHTS
    if weights.is_file():
        yield *size(weights.stat().st_size / 1e6), f"on disk, {run.description['parameters']:,} parameters"
    if "student" in times:
        yield f"{times['student']['p50 ms']:.3g}", "ms", "for one picture, one processor thread (median)"


def _intro(run: ImageRun) -> str:
    about = run.description
    given, made, classes = about["input"], about["architecture"], len(about["classes"])
    size = "any size" if given["size"] is None else "{} x {} pixels".format(*reversed(given["size"]))
    colour, name = "grey" if given["channels"] == 1 else "colour", made.get("name") or made["made_by"]
    words = f"The student {name} has {about['parameters']:,} parameters and {classes} classes."
    return f"{words} It takes pictures of {size} in {colour}."


def _models(runs: Sequence[ImageRun], times: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = []
    for run in runs:
        known = run.rows or [{"model": "student", "parameters": run.description["parameters"]}]
        for row in known:
            name, measured = row["model"], times.get(run.name, {}).get(row["model"], {})
            label = name if len(runs) == 1 else f"{run.name}: {name}"
            metrics = {key.replace("_", " "): value for key, value in row.items() if key != "model"}
            latency = {"ms": measured.get("p50 ms"), "ms, p95": measured.get("p95 ms")}
            rows.append({"network": label, **metrics, **latency})
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _latencies(run: ImageRun, student: Student) -> dict[str, dict[str, Any]]:
    """Latency of the networks of a run that were kept and can be opened."""
    engines = {}
    for name, place in run.kept.items():
        try:
            engines[name] = TorchOutputs(student if place == run.folder and name == "student" else open_student(place))
        except UsageError:
            continue
    return {row["engine"]: row for row in latency_rows(engines)}


def _listings(found: dict[str, Any], student: Student) -> Iterator[Listing]:
    if "by_class" in found:
        rows = [{"class": name, **values} for name, values in found["by_class"].items()]
        yield Listing("Classes", "How well every class is recognised.", rows)
    if "confusion" in found and len(student.classes) <= MOST:
        rows = [
            {"true": name, **dict(zip(student.classes, counts, strict=True))}
            for name, counts in zip(student.classes, found["confusion"], strict=True)
        ]
        yield Listing("Confusion", "How often each class (row) was predicted as each class (column).", rows)
