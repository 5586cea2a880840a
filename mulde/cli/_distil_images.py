"""`mulde distil` with a method for images: options, and what is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mulde import catalogue
from mulde.cli._output import announce, show
from mulde.cli._stage import print_progress
from mulde.config import Count, Duration, NonNegative, Threads, Whole, extended, hints_of, to_dict
from mulde.config.command_line import parse
from mulde.files import file_name

FIRST = ("method", "data", "teacher", "partner", "student", "out", "epochs", "budget", "seed", "preset")
ABOUT = """Train a student on images by {method}, and keep it. The file of the method is {file}.

The student, the teacher and other networks are networks with new weights (resnet20), or networks from elsewhere:
a run folder, a bundle, NAME:WEIGHTS, FILE.py:NAME, onnx:FILE, timm:NAME, torchvision:NAME, hf:FOLDER. A teacher with
new weights is trained first.

Examples:
    mulde distil --method {method} --data {data} --out runs/small
    mulde evaluate runs/small --data {data}"""
NOT_KEPT = ("json", "wait", "restart")
"""Options that are not settings of a run."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Method, data and folder."""

    method: str
    """Method: a name of `mulde list methods`, or the path of a Python file with a function build(config, data,
    networks) that returns a Method."""
    data: str
    """Images: digits, shapes, folder:PATH, zip:PATH, npz:PATH, cifar10:PATH, cifar100:PATH, idx:PATH; for detectors
    scenes, voc:PATH, coco:PATH, yolo:PATH; optionally followed by ,size=PIXELS and ,grey=1."""
    skip_broken: bool = False
    """Leave out pictures that cannot be read; each is named."""
    out: Path | None = None
    """Run folder. Default: a folder below runs/, named after the data, the method and the student."""
    preset: Literal["recommended", "paper"] = "recommended"
    """Defaults of the options that are not given. recommended: networks and schedules for one computer. paper: those of
    the method's authors."""
    select: Literal["final", "valid"] = "final"
    """Weights that are kept: the final ones, or those that are best on the validation part."""
    eval_every: Count = 1
    """Epochs between two evaluations on the validation part."""
    baseline: bool = False
    """Also train the same student on the labels alone, for comparison."""
    keep: tuple[str, ...] = ()
    """Another network of the method to save, for example teacher or partner, in a folder of this name; repeat the
    option for several."""
    budget: Duration | None = None
    """Time limit, for example 10m or 2h, which the stages share; the same command with more time continues the last
    stage."""
    checkpoint_every: NonNegative = 60.0
    """Seconds between checkpoints."""
    seed: Whole = 0
    """Seed of initial weights and of the order of images. The parts of the data do not depend on it."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:1, ..."""
    threads: Threads | None = None
    """Processor threads. Default: all."""
    restart: bool = False
    """Start anew; an existing run folder is renamed to FOLDER.before-restart-DATE."""
    wait: bool = False
    """If another command is writing into the folder, wait until it has ended instead of stopping with an error."""
    json: bool = False
    """Print the result as JSON."""


def compose(values: Mapping[str, Any]) -> type[Config]:
    """The options together with those of the method, whose defaults are those of the preset."""
    from mulde.vision.distillation.method_file import configured, open_method

    return extended(Config, options=configured(open_method(values["method"]), values.get("preset") or "recommended"))


def main(argv: Sequence[str], values: Mapping[str, Any]) -> int:
    """Parse the options and run the job; ``values`` has the method and possibly the preset."""
    from mulde.vision.distillation.method_file import open_method

    module = open_method(values["method"])
    config = compose(values)
    known = hints_of(config)
    data = "scenes" if module.NEEDS.data == "boxes" else "folder:photos"
    method = values["method"]
    about = ABOUT.format(method=method, data=data, file=catalogue.file_of_method(method))
    settings: Any = parse(config, argv, "mulde distil", about, first=[name for name in FIRST if name in known])
    from mulde.engine import process

    process.start()
    with process.threads(settings.threads):
        return _distilled(settings, module)


def _distilled(settings: Any, module: Any) -> int:
    from mulde.cli._skip_broken import advising_skip_broken
    from mulde.engine.device import resolved
    from mulde.run_folders import locked_run, restart
    from mulde.vision.distillation.checks import check_options
    from mulde.vision.distillation.data import read_split
    from mulde.vision.distillation.job import Job, distil
    from mulde.vision.distillation.sources import named

    check_options(module, settings.options, baseline=settings.baseline, device=settings.device)
    with advising_skip_broken():
        data = read_split(
            module.NEEDS, settings.data, settings.seed, skip_broken=settings.skip_broken, report=announce
        )  # fmt: skip
    given = named(module, settings.options, data, announce)
    folder = settings.out or _folder(settings, data.train.name)
    wait = announce if settings.wait else None
    if settings.restart:
        restart(folder, print_progress, wait)
    kept = {name: value for name, value in to_dict(settings).items() if name not in NOT_KEPT}
    announce(f"{settings.method} on {resolved(settings.device)}, student {settings.options.student}")
    with locked_run(folder, wait, finished=(folder / "summary.json").exists()):
        outcome = distil(
            Job(
                method=module, config=settings.options, data=data, given=given, source=settings.data, folder=folder,
                select=settings.select, eval_every=settings.eval_every, baseline=settings.baseline,
                keep=settings.keep, budget=settings.budget, checkpoint_every=settings.checkpoint_every,
                device=settings.device, settings=kept, progress=print_progress,
            )
        )  # fmt: skip
    return show({"run": str(folder), **outcome.summary}, _text(outcome, folder), settings.json)


def _folder(settings: Any, data: str) -> Path:
    student = file_name(Path(settings.options.student).name)
    return Path("runs") / file_name(data or "images") / f"{file_name(Path(settings.method).stem)}-{student}"


def _text(outcome: Any, folder: Path) -> str:
    from mulde.report.tables import table

    lines = [table(outcome.rows)]
    if outcome.metrics.get("valid"):
        found = ", ".join(f"{name} {value:.4f}" for name, value in outcome.metrics["valid"].items())
        lines.append(f"student on the validation part: {found}")
    if outcome.trained.figures:
        lines.append("; ".join(f"{name} {value:.4f}" for name, value in outcome.trained.figures.items()))
    return "\n".join(["test part", *lines, f"run folder: {folder}"])
