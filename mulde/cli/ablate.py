"""Show what a vision method gains: baseline, method, term at zero and sabotage, over paired seeds.

Examples:
    mulde ablate dcm
    mulde ablate --all                  every method, 2 seeds, fewer arms
    mulde ablate ffsd --data cifar100:PATH --seeds 3
    mulde ablate dcm --preset paper --data cifar100:PATH --device cuda
    torchrun --nproc-per-node 2 -m mulde ablate dcm --preset paper \\
        --data cifar100:PATH            the paper's networks and schedule
    mulde ablate my_own_method.py       a file of yours
"""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from mulde import catalogue
from mulde.cli._output import MAIN, announce, show
from mulde.config.command_line import Positional, parse
from mulde.engine import process
from mulde.engine.provenance import environment
from mulde.errors import UsageError
from mulde.files import write_atomically
from mulde.report.tables import table
from mulde.user_code import module_of
from mulde.vision.ablation import statistics
from mulde.vision.ablation.study import ARMS, Verification

QUICK_SEEDS, QUICK_ARMS = 2, ("baseline", "method")
PAPER_SEEDS = 3


@dataclass(frozen=True)
class Config:
    """Which method, and how thoroughly."""

    method: Positional[str] = ""
    """A method by name (`mulde list methods`), or the path of a Python file that declares one."""
    all: bool = False
    """Every vision method, quickly: 2 seeds, baseline and method."""
    preset: Literal["case", "paper"] = "case"
    """case: a small case that shows an effect on a laptop. paper: the paper's networks and schedule on all images of
    --data, baseline and method; what differs from the paper is said with the results."""
    seeds: int | None = None
    """How many seeds; by default 5, with --all 2, with --preset paper 3."""
    first_seed: int = 0
    """The seeds are this one and those that follow. Recorded results begin at 2: the cases were made with 0 and 1."""
    variant: tuple[str, ...] = ()
    """Only this arm (repeats): baseline, method, "term at zero", sabotage."""
    data: str | None = None
    """Other images than the case's: digits, shapes, npz:PATH, zip:PATH, folder:PATH, cifar10:PATH, cifar100:PATH,
    idx:PATH; for detectors scenes, voc:PATH, coco:PATH; with size=PIXELS and grey=1 after commas; for streams
    drift:FRAMES,size=PIXELS or frames:FOLDER,masks=FOLDER,size=ROWS."""
    fraction: float = 1.0
    """Share of the case's epochs, rounds and images; below 1 only to try the command."""
    out: Path = Path("results/vision")
    """Tables and plots, one folder for each method."""
    work: Path = Path("runs/vision")
    """Fits in progress, so that the same command continues where it was stopped."""
    device: str = "cpu"
    """Where to compute."""
    threads: int | None = None
    """Processor threads; by default all."""
    json: bool = False
    """Print the results as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde ablate", __doc__ or "")
    if bool(settings.method) == settings.all:
        raise UsageError("mulde ablate takes one method or --all; `mulde list methods` shows their names")
    if wrong := set(settings.variant) - set(ARMS):
        raise UsageError(f'no arm called "{min(wrong)}"; there are {", ".join(ARMS)}')
    paper = settings.preset == "paper"
    if paper and settings.all:
        raise UsageError("--preset paper trains one method, as the papers do not share their images; name it")
    process.start(settings.threads)
    count = settings.seeds or (QUICK_SEEDS if settings.all else PAPER_SEEDS if paper else 5)
    seeds = range(settings.first_seed, settings.first_seed + count)
    arms = settings.variant or (QUICK_ARMS if settings.all or paper else ARMS)
    results, texts = [], []
    for name in _with_a_case() if settings.all else [settings.method]:
        module, case = _case(name)
        if paper:
            case = _of_paper(name, case, settings.data)
        case = case.shortened(settings.fraction) if settings.fraction != 1 else case
        try:
            result = _verified(module, case, list(seeds), arms, settings)
        except ImportError as error:
            if not settings.all:
                raise
            announce(f"{name} is left out: {error}")
            continue
        result["command"] = shlex.join(["mulde", "ablate", *argv])
        text = _text(result, case.metric)
        if MAIN:
            _write(settings.out / (result["method"] + "-paper" * paper), result, case.metric)
        results.append(result)
        texts.append(text)
    return show(results if settings.all else results[0], "\n\n".join(texts), settings.json)


def _verified(
    module: ModuleType, case: Verification, seeds: list[int], arms: Sequence[str], settings: Config
) -> dict[str, Any]:
    name = Path(str(module.__file__)).stem
    rows = []
    work = settings.work / (name + "-paper" * (settings.preset == "paper"))
    work /= f"share-{settings.fraction:g}" if settings.fraction != 1 else "whole"
    for row in statistics.runs(module, case, seeds, arms, data=settings.data, folder=work, device=settings.device):
        announce(f"{name}, seed {row['seed']}, {row['arm']}: {case.metric} {row[case.metric]:.4f}")
        rows.append(row)
    lines = statistics.summary(rows, case.metric)
    return {
        "method": name,
        "claim": (module.__doc__ or "").split("\n", 1)[0],
        "data": case.described(seeds, settings.data),
        "notes": case.notes,
        "verdict": statistics.verdict(lines),
        "summary": lines,
        "runs": rows,
        "configurations": statistics.plain(case, arms),
        "environment": environment(),
    }


def _case(name: str) -> tuple[ModuleType, Verification]:
    """A method's file and its case, by name or path."""
    if name.endswith(".py"):
        module = module_of(Path(name))
    else:
        module = importlib.import_module(catalogue.find("methods", name).__module__)
    if not hasattr(module, "VERIFICATION"):
        raise UsageError(
            f"{name} has no case to verify: its file declares no VERIFICATION; those with one are "
            f"{', '.join(_with_a_case())}"
        )
    return module, module.VERIFICATION


def _of_paper(name: str, case: Verification, data: str | None) -> Verification:
    """The paper's configuration; its images are the user's."""
    if data is None:
        usual = f"; the paper's are --data {case.paper_data}" if case.paper_data else ""
        raise UsageError(f"--preset paper trains {name} on images of yours: say with --data where they are{usual}")
    return case.paper()


def _with_a_case() -> list[str]:
    """Names of the image methods whose files declare a VERIFICATION; read, not imported."""
    files = catalogue.shelf_files("mulde/vision/methods")
    return [path.stem for path in files if "\nVERIFICATION" in path.read_text(encoding="utf-8")]


def _text(result: dict[str, Any], metric: str) -> str:
    notes = f"\n{result['notes']}" if result["notes"] else ""
    head = f"{result['claim']}\n{result['data']}{notes}\n"
    return f"{head}\n{_table(result)}\n\n{_spoken(metric)}: {result['verdict']}"


def _table(result: dict[str, Any], markdown: bool = False) -> str:
    return table([{_spoken(key): value for key, value in line.items()} for line in result["summary"]], markdown)


def _spoken(metric: str) -> str:
    return metric.replace("_", " ")


def _write(folder: Path, result: dict[str, Any], metric: str) -> None:
    """results.json, table.md and, where matplotlib is installed, plot.png."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "results.json", (json.dumps(result, indent=1, default=str) + "\n").encode())
    markdown = "\n".join(
        [
            f"## {result['claim']}",
            "",
            f"`{result['command']}`",
            "",
            f"{result['data']}. {result['notes']}".strip(),
            "",
            _table(result, markdown=True),
            "",
            f"{_spoken(metric)}: {result['verdict']}.",
            "",
        ]
    )
    write_atomically(folder / "table.md", markdown.encode())
    try:
        from mulde.vision.ablation.plot import plot_arms
    except ImportError:
        announce("no plot: it needs matplotlib, `pip install mulde[vision]`")
        return
    write_atomically(folder / "plot.png", plot_arms(result["runs"], metric, result["claim"], result["data"]))
