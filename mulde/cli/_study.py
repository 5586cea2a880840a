"""One study of `mulde ablate`: from the options to its result and files."""

from __future__ import annotations

import dataclasses
import functools
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mulde import catalogue
from mulde.cli._output import announce, prints
from mulde.errors import UsageError
from mulde.files import locked, refuse_files_of_others
from mulde.user_code import method_in

if TYPE_CHECKING:
    from mulde.cli.ablate import Config
    from mulde.vision.ablation.study import Study

RUNS = Path("runs/ablations")


def study_of(name: str) -> tuple[ModuleType, Study]:
    """The file of a method and its study, by name or path.

    Raises
    ------
    UsageError
        If the file has no study.
    """
    path = Path(name)
    module = method_in(path) if path.suffix == ".py" else catalogue.module_at(catalogue.path_of("methods", name))
    if not hasattr(module, "STUDY"):
        raise UsageError(
            f"{name} has no ablation study: its file does not define STUDY; methods with one are "
            f"{', '.join(catalogue.studies())}"
        )
    return module, module.STUDY


def run_study(name: str, settings: Config, argv: Sequence[str]) -> dict[str, Any]:
    """Run one study and write its results; with --all, results that are there are read instead.

    Parameters
    ----------
    name
        A method by name, or the path of a Python file.
    settings
        The options of the command.
    argv
        The words of the command, for its files.
    """
    from mulde.vision.ablation import small_data, statistics
    from mulde.vision.ablation.results import WRITTEN, kept, result_of, write
    from mulde.vision.distillation.sources import named

    started = time.monotonic()
    module, study = study_of(name)
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
    folder, rows = folder_of(settings, name), []
    refuse_files_of_others(folder, WRITTEN, "**/fit/config.json")
    if settings.all and settings.data is None and (found := kept(folder, study, seeds, variants)):
        return found
    if settings.data is not None:
        announce(study.found(settings.data))
    networks, trials = functools.partial(named, module, report=announce), list[dict[str, Any]]()
    common: dict[str, Any] = {"folder": folder, "device": settings.device, "networks": networks}
    with locked(folder, announce if settings.wait else None):
        runs = (
            small_data.runs(module, study, seeds, variants, trials=trials, **common)
            if settings.small_data
            else statistics.runs(module, study, seeds, variants, data=settings.data, **common)
        )
        for row in runs:
            announce(f"{name}, seed {row['seed']}, {row['variant']}: {study.metric} {row[study.metric]:.4f}")
            rows.append(row)
        command = shlex.join(["mulde", "ablate", *argv])
        result = result_of(module, study, rows, data=settings.data, notes=notes, command=command)
        if trials:
            result["data"] = small_data.described(study, seeds)
            result |= {"search": trials, "chosen": small_data.chosen(trials, study.metric)}
        result["seconds"] = round(time.monotonic() - started, 1)
        if prints():
            write(folder, result, announce)
    return result


def folder_of(settings: Config, name: str = "") -> Path:
    """Folder of a study; without a name, that of all studies."""
    if settings.out is not None:
        return settings.out / name if settings.all else settings.out
    ending = "-paper" if settings.preset == "paper" else ""
    ending += "-small-data" if settings.small_data else ""
    ending += f"-{settings.fraction:g}" if settings.fraction != 1 else ""
    return RUNS / f"all{ending}" / name if settings.all else RUNS / f"{name}{ending}"


def _seeds(settings: Config, study: Study) -> int:
    return 2 if settings.all else 3 if settings.preset == "paper" else study.seeds


def _of_paper(name: str, study: Study, data: str | None) -> Study:
    """The paper's configuration on images of the user."""
    if data is None:
        usual = f"; the paper's are --data {study.paper_data}" if study.paper_data else ""
        raise UsageError(f"--preset paper trains {name} on your images: give them with --data{usual}")
    return study.paper()
