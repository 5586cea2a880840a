"""Ablation studies of the image methods on real pictures, with an equal search of settings for method and baseline.

    python -m benchmarks.quality.pictures kd_cifar10 --images FOLDER

A study is an entry of ``SETTINGS`` in `benchmarks.quality.picture_settings`, `self_settings` (self-distillation),
`few_settings` (few pictures, none, few bits, few shots), `domain_settings` (domain generalisation) or `cell_settings`
(detectors). First the settings of the baseline and of the method are searched, as many trials for each, on a seed that
is not reported and on the validation part only. Then every variant is trained with fresh seeds. Fits are kept in
``--runs`` and continued from there. Paths of pictures are relative to ``--images``. What is
written: `benchmarks.quality.picture_records`.
"""

from __future__ import annotations

import argparse
import functools
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.harness import records
from benchmarks.quality import (
    cell_settings,
    domain_settings,
    few_settings,
    picture_records,
    picture_settings,
    self_settings,
)
from benchmarks.quality.picture_records import SEARCH_SEED
from benchmarks.quality.picture_settings import Setting
from mulde import catalogue
from mulde.engine import process
from mulde.vision.ablation import results, search, statistics
from mulde.vision.ablation.study import Study
from mulde.vision.distillation.sources import named

SHELVES = (picture_settings, cell_settings, self_settings, few_settings, domain_settings)
SETTINGS = {name: it for shelf in SHELVES for name, it in shelf.SETTINGS.items()}
FIRST_SEED = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=SETTINGS, help="studies")
    parser.add_argument("--images", type=Path, required=True, help="folder in which paths of pictures begin")
    parser.add_argument("--runs", type=Path, default=Path("runs/pictures"), help="(default: runs/pictures)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "pictures", help="(default: results/pictures)")
    options = parser.parse_args()
    process.start()
    with process.threads(1):
        for name in options.names:
            compare(name, options.images, options.runs, options.out)


def compare(name: str, images: Path, runs: Path, out: Path) -> None:
    """Search, train and record one study."""
    setting, command = SETTINGS[name], f"python -m benchmarks.quality.pictures {name} --images FOLDER"
    method = catalogue.module_at(catalogue.path_of("methods", setting.method))
    study = replace(setting.study, read=functools.partial(read_below, setting.study.read, images))
    if setting.teacher:
        train_teacher(setting.teacher, images, runs)
    networks = functools.partial(named, method, report=_say)
    trials = list(trials_of(method, study, setting, runs / name / "search", networks))
    picture_records.record_search(out.parent / picture_records.SEARCHES, name, command, trials)
    study, rows = search.tuned(study, trials), []
    seeds = range(FIRST_SEED, FIRST_SEED + setting.seeds)
    for row in statistics.runs(method, study, seeds, setting.variants, folder=runs / name, networks=networks):
        _say(f"{name}, seed {row['seed']}, {row['variant']}: {study.metric} {row[study.metric]:.4f}")
        rows.append(row)
    result = results.result_of(method, study, rows, data=None, notes=study.notes, command=command)
    _say(results.text(result))
    picture_records.record(out, name, result)


def trials_of(
    method: ModuleType, study: Study, setting: Setting, folder: Path, networks: Any
) -> Iterator[records.Record]:
    """Trials of every variant that is searched, on the validation part of a seed that is not reported."""
    data = study.split(SEARCH_SEED)
    data = replace(data, test=data.valid)
    short = replace(study.shortened(setting.search_length), train=study.train, test=study.test)
    for trial in search.search(
        method, short, setting.search, data, folder,
        seed=SEARCH_SEED, shared_stages=setting.shared_stages, networks=networks,
    ):  # fmt: skip
        variant, number = trial["variant"], trial.pop("number")
        _say(f"search, {variant}, {trial['settings']}: {trial['metrics']}")
        yield {"run": f"{variant}, {number}", "seed": SEARCH_SEED, "length": setting.search_length, **trial}


def train_teacher(words: str, images: Path, runs: Path) -> None:
    """Run the command that trains a teacher, unless its folder is there."""
    out = runs / words.split()[-1]
    if not out.exists():
        found = [word.replace("FOLDER", str(images)) for word in shlex.split(words)]
        subprocess.run([sys.executable, "-m", "mulde", *found[:-1], str(out)], check=True)


@functools.cache
def read_below(read: Callable[[str], Any], images: Path, spec: str) -> Any:
    """Data whose path begins in a folder; read once in a process."""
    kind, colon, rest = spec.partition(":")
    return read(f"{kind}:{images / rest}" if "/" in rest else f"{kind}{colon}{rest}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
