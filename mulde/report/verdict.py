"""The verdict of a run, as `mulde run` stores it in summary.json, for the head of the page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from mulde.report.cards import size
from mulde.report.runs import Run
from mulde.shell import is_command

IN_PYTHON = re.compile(r"mulde\.run\(graph, dim=\d+, \.\.\.\)  # in Python, with the other options of this run\Z")


@dataclass
class Verdict:
    """Which model to take, and what to run."""

    run: str
    sentences: list[str]
    rows: list[dict[str, Any]]
    commands: list[tuple[str, str]] = field(default_factory=list)
    """(what it does, command)"""


def verdict(run: Run) -> Verdict | None:
    """The verdict of a run; None for a run without one."""
    found = run.summary.get("verdict")
    if not found:
        return None
    best, chosen, small = found["best"], found["recommended"], found["small"]
    sentences = [f"Use {chosen['model']} ({chosen['dim']} dimensions, {' '.join(size(chosen['bytes'] / 1e6))})."]
    if chosen["model"] == best["model"]:
        sentences[0] += " It has the highest validation MRR, and no smaller model is within 2 % of it."
    else:
        sentences[0] += f" It is the smallest model whose validation MRR is within 2 % of the best, {best['model']}."
    if found.get("gain"):
        sentences.append(_gain(found["gain"]))
    choices = {"best": best, "smallest within 2 %": chosen, "best small model": small}
    rows = [
        {
            "model": it["model"],
            "choice": ", ".join(name for name, other in choices.items() if other["model"] == it["model"]),
            "dim": it["dim"],
            "size": " ".join(size(it["bytes"] / 1e6)),
            "validation MRR": it["valid_mrr"],
            "test MRR": it["test_mrr"],
        }
        for it in {it["model"]: it for it in choices.values()}.values()
    ]
    commands = [(f"Query {chosen['model']}", found["commands"]["predict"])]
    if found.get("try_dim"):
        behind = 100 * (1 - small["valid_mrr"] / best["valid_mrr"])
        sentences.append(f"{small['model']} is {behind:.0f} % behind {best['model']} in validation MRR.")
        commands.append((f"Try {found['try_dim']} dimensions", found["commands"].get("try", "")))
    # summary.json may be of somebody else, and readers paste what the page shows
    commands = [(does, text) for does, text in commands if is_command(text, "predict", "run") or IN_PYTHON.match(text)]
    return Verdict(run.name, sentences, rows, commands)


def _gain(gain: dict[str, Any]) -> str:
    low, high = gain["interval_95"]
    figures = f"{gain['test_mrr']:+.4f} test MRR against the baseline, 95 % interval {low:+.4f} to {high:+.4f}"
    if low > 0:
        return f"Distillation helped: {figures}."
    if high < 0:
        return f"Distillation made the model worse: {figures}. Use the baseline."
    return f"Distillation did not help measurably: {figures}. The baseline is as good."
