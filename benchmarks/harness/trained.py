"""A model trained by one `mulde` command: a recorded run is not repeated, an interrupted one continues."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import records
from mulde.kge.training.record import of_run


def train(words: Sequence[str], run: Path, results: Path, name: str, **about: Any) -> None:
    """Run `mulde WORDS --out RUN` and append its record, unless the experiment has a record of this name.

    Parameters
    ----------
    words
        The verb and its options.
    run
        Run folder.
    results
        Folder of the experiment.
    name
        Name of the run, unique in the experiment; a run of several models gets the name of each appended.
    about
        More entries of the record, such as the variant.
    """
    if any(record["run"].partition("/")[0] == name for record in records.read(results)):
        return
    words = ["mulde", *words, "--out", str(run)]
    command = shlex.join(words)
    done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"{command}\nended with code {done.returncode}; the same command continues")
    made = of_run(run)
    records.append(results, *({"run": _name(name, it.pop("stage")), **about, "command": command, **it} for it in made))


def _name(run: str, stage: str) -> str:
    return run if stage == "." else f"{run}/{stage}"
