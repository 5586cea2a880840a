"""Ablation study of an image method with paired seeds and 95 % confidence intervals.

Compares four variants of a method: baseline, method, weight 0 (without its central loss term) and control (with a
training signal without information, for example from a teacher that receives shuffled images). The options of the
method are options of the command; their defaults are those of the study, a small configuration that shows an effect on
a laptop.

Examples:
    mulde ablate dcm
    mulde ablate ffsd --data cifar100:PATH --variant baseline --variant method
    mulde ablate dcm --preset paper --data cifar100:PATH --device cuda
    torchrun --nproc-per-node 2 -m mulde ablate dcm --preset paper \\
        --data cifar100:PATH
    mulde ablate kd --small-data --data folder:photos
    mulde ablate my_own_method.py       a Python file with STUDY
"""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mulde import catalogue
from mulde.cli._output import announce, prints, show
from mulde.config import Fraction, Positional, Range, Size, Threads, Whole
from mulde.config.command_line import parse
from mulde.errors import MissingExtra, UsageError
from mulde.files import locked, refuse_files_of_others
from mulde.user_code import module_of

if TYPE_CHECKING:
    from mulde.vision.ablation.study import Study

Imbalance = Annotated[float, Range(1, 1e6)]
FIRST = ("method", "variant", "seeds", "data", "small_data", "preset", "out", "device", "all", "json")


@dataclass(frozen=True)
class Config:
    """Ablation study."""

    method: Positional[str] = ""
    """A method by name (`mulde list methods`), or the path of a Python file that defines STUDY."""
    all: bool = False
    """All image methods in short studies: 2 seeds, baseline and method."""
    preset: Literal["study", "paper"] = "study"
    """study: a small configuration. paper: the paper's networks and schedule on all images of --data, baseline and
    method; the differences from the paper are printed with the results."""
    seeds: Size | None = None
    """Number of seeds; by default that of the study, 5 in most, with --all 2, with --preset paper 3."""
    first_seed: Whole = 0
    """First seed. Recorded results use seeds from 2 on, because the settings were chosen with seeds 0 and 1."""
    variant: tuple[str, ...] = ()
    """Only this variant; repeat the option for several: baseline, method, "weight 0", control, longer."""
    data: str | None = None
    """Images in place of those of the study: digits, shapes, npz:PATH, zip:PATH, folder:PATH, cifar10:PATH,
    cifar100:PATH, idx:PATH; for detectors scenes, voc:PATH, coco:PATH, yolo:PATH; optionally followed by ,size=PIXELS,
    ,grey=1 and ,skip-broken=1; for streams drift:FRAMES,size=PIXELS or frames:FOLDER,masks=FOLDER,size=ROWS."""
    small_data: bool = False
    """Few pictures per class, those of --data: the baseline is tuned as long as the method, on other pictures than
    those of the test."""
    imbalance: Imbalance | None = None
    """Ratio of the training images of the largest class to those of the smallest; others are left out. By default that
    of the study."""
    fraction: Fraction = 1.0
    """Fraction of the study's epochs, rounds and images; below 1 to try the command."""
    out: Path | None = None
    """Folder of results and fits, so that the same command continues; with --all one folder inside for each method. By
    default runs/ablations/NAME."""
    device: str = "cpu"
    """Device of the computation."""
    threads: Threads | None = None
    """Processor threads; by default all."""
    wait: bool = False
    """If another command is writing into the folder, wait until it has ended instead of stopping with an error."""
    json: bool = False
    """Print the results as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde ablate", __doc__ or "", first=FIRST, compose=compose)
    if bool(settings.method) == settings.all:
        raise UsageError("mulde ablate takes one method or --all; `mulde list methods` shows their names")
    if settings.small_data and (settings.all or settings.preset == "paper" or settings.imbalance is not None):
        raise UsageError(
            "--small-data takes one method and no other protocol; leave out --all, --preset and --imbalance"
        )
    if settings.small_data and settings.data is None:
        raise UsageError("--small-data compares on your pictures: give them with --data, for example folder:photos")
    if settings.all and settings.preset == "paper":
        raise UsageError("--preset paper trains one method, because the papers use different images; name a method")
    from mulde.engine import process

    process.start()
    with process.threads(settings.threads):
        return _ablated(settings, argv)


def _ablated(settings: Config, argv: Sequence[str]) -> int:
    from mulde.vision.ablation.results import text

    results, texts = [], []
    for name in catalogue.studies() if settings.all else [settings.method]:
        try:
            result = _result(name, settings, argv)
        except MissingExtra as error:
            if not settings.all:
                raise
            announce(f"{name} is left out: {error}")
            continue
        results.append(result)
        texts.append(text(result))
    return show(results if settings.all else results[0], "\n\n".join(texts), settings.json)


def compose(values: Mapping[str, Any]) -> type[Config]:
    """The options together with those of the method, whose defaults are those of its study."""
    if not values.get("method") or values.get("all"):
        return Config
    study = _study(values["method"])[1]
    config = study.paper().config if values.get("preset") == "paper" else study.config
    part = ("options", type(config), dataclasses.field(default_factory=lambda: config, kw_only=True))
    return dataclasses.make_dataclass("Config", [part], bases=(Config,), frozen=True)


def _study(name: str) -> tuple[ModuleType, Study]:
    """The file of a method and its study, by name or path."""
    path = Path(name)
    module = module_of(path) if path.suffix == ".py" else catalogue.module_at(catalogue.path_of("methods", name))
    if not hasattr(module, "STUDY"):
        raise UsageError(
            f"{name} has no ablation study: its file does not define STUDY; methods with one are "
            f"{', '.join(catalogue.studies())}"
        )
    return module, module.STUDY


def _result(name: str, settings: Config, argv: Sequence[str]) -> dict[str, Any]:
    """Run one study and write its results."""
    from mulde.vision.ablation import small_data, statistics
    from mulde.vision.ablation.results import WRITTEN, result_of, write
    from mulde.vision.distillation.sources import named

    module, study = _study(name)
    name, paper = Path(str(module.__file__)).stem, settings.preset == "paper"
    if paper:
        study = _of_paper(name, study, settings.data)
    study = dataclasses.replace(study, config=getattr(settings, "options", study.config))
    if settings.fraction != 1:
        study = study.shortened(settings.fraction)
    if settings.imbalance is not None:
        if (kind := getattr(module, "NEEDS", None)) and kind.data != "images":
            raise UsageError(f"--imbalance is for images of one class each; {name} is trained on {kind.data}")
        study = dataclasses.replace(study, imbalance=settings.imbalance)
    if wrong := set(settings.variant) - set(study.variants):
        raise UsageError(f'{name} has no variant called "{min(wrong)}"; there are {", ".join(study.variants)}')
    notes = study.notes if paper or settings.data in (None, study.data) else ""
    if settings.small_data:
        study = small_data.protocol(module, study, str(settings.data))
        notes = study.notes
    short = settings.all or paper or settings.small_data
    variants = settings.variant or (("baseline", "method") if short else tuple(study.variants))
    seeds = list(range(settings.first_seed, settings.first_seed + (settings.seeds or _seeds(settings, study))))
    folder, rows = _folder(name, settings), []
    refuse_files_of_others(folder, WRITTEN, "**/fit/config.json")
    if settings.data is not None:
        announce(study.found(settings.data))
    networks, trials = functools.partial(named, module, report=announce), list[dict[str, Any]]()
    common: dict[str, Any] = {"folder": folder, "device": settings.device, "networks": networks}
    with locked(folder, announce if settings.wait else None):
        found = (
            small_data.runs(module, study, seeds, variants, trials=trials, **common)
            if settings.small_data
            else statistics.runs(module, study, seeds, variants, data=settings.data, **common)
        )
        for row in found:
            announce(f"{name}, seed {row['seed']}, {row['variant']}: {study.metric} {row[study.metric]:.4f}")
            rows.append(row)
        command = shlex.join(["mulde", "ablate", *argv])
        result = result_of(module, study, rows, data=settings.data, notes=notes, command=command)
        if trials:
            result["data"] = small_data.described(study, seeds)
            result |= {"search": trials, "chosen": small_data.chosen(trials, study.metric)}
        if prints():
            write(folder, result, announce)
    return result


def _seeds(settings: Config, study: Study) -> int:
    return 2 if settings.all else 3 if settings.preset == "paper" else study.seeds


def _folder(name: str, settings: Config) -> Path:
    if settings.out is not None:
        return settings.out / name if settings.all else settings.out
    paper = "-paper" if settings.preset == "paper" else ""
    paper += "-small-data" if settings.small_data else ""
    fraction = f"-{settings.fraction:g}" if settings.fraction != 1 else ""
    return Path("runs/ablations") / f"{name}{paper}{fraction}"


def _of_paper(name: str, study: Study, data: str | None) -> Study:
    """The paper's configuration on images of the user."""
    if data is None:
        usual = f"; the paper's are --data {study.paper_data}" if study.paper_data else ""
        raise UsageError(f"--preset paper trains {name} on your images: give them with --data{usual}")
    return study.paper()
