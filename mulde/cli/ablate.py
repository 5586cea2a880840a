"""Ablation study of an image method with paired seeds and 95 % confidence intervals.

Compares four variants of a method: baseline, method, weight 0 (without its central loss term) and control (with a
training signal without information, for example from a teacher that receives shuffled images). The options of the
method are options of the command; their defaults are those of the study, a small configuration that shows an effect on
a laptop.

Examples:
    mulde ablate dcm
    mulde ablate ffsd --data cifar100:PATH --variant baseline --variant method
    torchrun --nproc-per-node 2 -m mulde ablate dcm --preset paper \\
        --data cifar100:PATH
    mulde ablate kd --small-data --data folder:photos
    mulde ablate --all                  all methods, in about an hour
    mulde ablate my_own_method.py       a Python file with STUDY
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from mulde.cli._output import show
from mulde.cli._study import run_study, study_of
from mulde.config import Fraction, Positional, Range, Size, Threads, Whole
from mulde.config.command_line import parse
from mulde.errors import UsageError

Imbalance = Annotated[float, Range(1, 1e6)]
FIRST = ("method", "variant", "seeds", "data", "small_data", "preset", "out", "device", "all", "json")


@dataclass(frozen=True)
class Config:
    """Ablation study."""

    method: Positional[str] = ""
    """A method by name (`mulde list methods`), or the path of a Python file that defines STUDY."""
    all: bool = False
    """The studies of all image methods, 2 seeds of baseline and method, and one table of them. The same command
    continues; a study that fails does not stop the others."""
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
    default runs/ablations/NAME, with --all runs/ablations/all."""
    device: str = "cpu"
    """Device of the computation."""
    threads: Threads | None = None
    """Processor threads; by default all. With --all on the CPU, a study for each thread runs at once."""
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
        if settings.all:
            from mulde.cli._all_studies import run_all

            return run_all(settings, argv)
        from mulde.vision.ablation.results import text

        result = run_study(settings.method, settings, argv)
        return show(result, text(result), settings.json)


def compose(values: Mapping[str, Any]) -> type[Config]:
    """The options together with those of the method, whose defaults are those of its study."""
    if not values.get("method") or values.get("all"):
        return Config
    study = study_of(values["method"])[1]
    config = study.paper().config if values.get("preset") == "paper" else study.config
    part = ("options", type(config), dataclasses.field(default_factory=lambda: config, kw_only=True))
    return dataclasses.make_dataclass("Config", [part], bases=(Config,), frozen=True)
