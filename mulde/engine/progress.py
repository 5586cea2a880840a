"""Progress of a job for people: messages, a bar in terminals and notebooks, a line for each evaluation elsewhere."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tqdm import TqdmWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # in a notebook without ipywidgets, where the bar is text
    from tqdm.auto import tqdm

BAR = "{desc} {percentage:3.0f}% |{bar:10}| {elapsed}, {remaining} left, {rate_noinv_fmt}{postfix}"
LOGGER = logging.getLogger("mulde")


@dataclass(frozen=True)
class Progress:
    """A message about a running job."""

    stage: str
    """Which stage."""
    text: str = ""
    """For people; empty for figures only."""
    fraction: float = 0.0
    """How much of the stage is done, in [0, 1]."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Validation metrics of an evaluation."""


Report = Callable[[Progress], object]
"""Receives messages while a job runs. An exception that it raises ends the job."""


def silent(progress: Progress) -> None:
    """Report nothing."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def progress_bar(title: str | None, total: int | None, done: int, visible: bool | None, unit: str = " steps") -> Any:
    """A tqdm bar with rate and remaining time.

    Parameters
    ----------
    title
        Text before the bar.
    total
        All steps; None where they are not known.
    done
        Steps of earlier calls.
    unit
        What is counted.
    visible
        None: in terminals and notebooks only.
    """
    notebook = in_notebook()
    hidden = None if visible is None and not notebook else visible is False  # None: hidden unless in a terminal
    form = BAR.replace("{bar:10}", "{bar}") if notebook else BAR  # a notebook draws its own bar in this place
    return tqdm(
        total=total,
        initial=done,
        desc=title,
        unit=unit,
        disable=hidden,
        leave=False,
        dynamic_ncols=True,
        bar_format=form if total else None,
    )


def log_evaluation(
    title: str | None,
    epoch: int,
    metrics: dict[str, float],
    shown: str | None,
    left: float | None,
    unit: str = "epoch",
) -> None:
    """Write a line at level INFO to the logger "mulde".

    Parameters
    ----------
    title
        Name of the fit.
    epoch
        Epochs so far, or what else is counted.
    metrics
        Metrics of the evaluation.
    shown
        The metric that is shown; None: all.
    unit
        What is counted.
    left
        Seconds that the fit still takes, by its speed so far; None where that is not known.
    """
    chosen = metrics if shown is None else {shown: metrics[shown]}
    figures = ", ".join(f"{name} {value:.4f}" for name, value in chosen.items())
    remaining = f", at most {duration(left)} left" if left else ""
    LOGGER.info("%s: %s %d, %s%s", title or "fit", unit, epoch, figures, remaining)


def duration(seconds: float) -> str:
    """A length of time in words: "40 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
