"""The verdict of a run: which model to take, and what distillation gained.

All figures are MRRs of the embeddings only. Models are chosen by the validation split; the test split measures them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kge_data.printing import one_line
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.split_ranks import SplitRanks
from mulde.kge.training.example import example
from mulde.metrics.ranks import mean_interval
from mulde.report.tables import in_one_unit, table
from mulde.shell import command

CLOSE = 0.98  # fraction of the best MRR that a smaller model needs
SMALL = ("Junior", "baseline")
TITLE = "Verdict: MRR of embeddings only; the models are chosen on valid"


@dataclass(frozen=True)
class Candidate:
    """A trained model of a run."""

    model: str
    """Name in the table of the run."""
    folder: str
    """Relative to the run folder."""
    dim: int
    bytes: int
    valid_mrr: float
    test_mrr: float
    epochs: int
    """Epochs of its best evaluation; 0 for initial weights."""


@dataclass(frozen=True)
class Gain:
    """Test MRR of the Junior minus that of the baseline."""

    test_mrr: float
    interval_95: tuple[float, float]
    """Paired bootstrap over test triples, both directions of a triple together."""

    def __str__(self) -> str:
        low, high = self.interval_95
        figures = f"{self.test_mrr:+.4f} MRR on test, 95 % interval {low:+.4f} to {high:+.4f}"
        if low > 0:
            return f"Distillation helped: {figures}, against the baseline."
        if high < 0:
            return f"Distillation made the model worse: {figures}, against the baseline. Take the baseline."
        return f"Distillation did not help measurably: {figures}. The baseline is as good."


@dataclass(frozen=True)
class Verdict:
    """Which model to take."""

    best: Candidate
    """The model with the highest validation MRR."""
    recommended: Candidate
    """The smallest model whose validation MRR is within 2 % of the best."""
    small: Candidate
    """The better of Junior and baseline."""
    gain: Gain | None
    """None without a baseline."""
    try_dim: int | None
    """A larger dimension to try, where the teachers are ahead of the small models."""
    query: tuple[str, str, str]
    """Identifiers of a test triple (head, relation, tail) whose tail the recommended model finds."""
    commands: Mapping[str, str]
    """What to run next, shell-quoted: "predict" and, with ``try_dim``, "try"."""
    untrained: tuple[Candidate, ...]
    """Models whose best evaluation is that of their initial weights."""

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values, for JSON."""
        return {"condition": "embeddings only; chosen on valid", **asdict(self)}

    def __str__(self) -> str:
        best, small = self.best, self.small
        chosen = {"best": best, "smallest within 2 %": self.recommended}
        if self.recommended.model not in SMALL:
            chosen["best small model"] = small
        rows = [
            {
                "choice": choice, "model": it.model, "dim": it.dim, "MB": it.bytes / 1e6,
                "MRR on valid": it.valid_mrr, "MRR on test": it.test_mrr,
            }
            for choice, it in chosen.items()
        ]  # fmt: skip
        lines = [TITLE, table(in_one_unit(rows))]
        untrained = [it.model for it in self.untrained]
        if untrained:
            lines.append(f"Initial weights, as the budget was too short: {', '.join(untrained)}. Raise --budget.")
        if self.gain is not None and not {"Junior", "baseline"} & set(untrained):
            lines.append(str(self.gain))
        if self.recommended.model not in SMALL:
            behind = f"{100 * (1 - small.valid_mrr / best.valid_mrr):.0f} % behind {best.model} on valid"
            lines.append(f"The teachers are far ahead: {small.model} is {behind}.")
        if self.try_dim is not None:
            lines += [f"Try {self.try_dim} dimensions:", f"  {one_line(self.commands['try'])}"]
        lines += [f"Query {self.recommended.model}:", f"  {one_line(self.commands['predict'])}"]
        return "\n".join(lines)


def decide(
    graph: TripleSet, source: str, folder: Path, out: Path | None, candidates: Sequence[Candidate],
    ranks: Mapping[str, SplitRanks],
) -> Verdict:  # fmt: skip
    """The verdict over teachers, baseline and Junior.

    Parameters
    ----------
    graph
        The data.
    source
        Name or path that the graph was loaded by; empty for one in memory, which no command can load.
    folder
        The run folder.
    out
        The run folder that was given; None if its name is derived from the options.
    candidates
        All trained models, a Junior among them.
    ranks
        Test ranks of each candidate by name.
    """
    best = max(candidates, key=lambda it: it.valid_mrr)
    close = [it for it in candidates if it.valid_mrr >= CLOSE * best.valid_mrr]
    recommended = min(close, key=lambda it: (it.bytes, -it.valid_mrr))
    small = max((it for it in candidates if it.model in SMALL), key=lambda it: it.valid_mrr)
    gain = None
    if "baseline" in ranks:
        difference = ranks["Junior"].reciprocal - ranks["baseline"].reciprocal
        gain = Gain(float(difference.mean()), mean_interval(difference))
    head, relation, tail = example(graph, ranks[recommended.model])
    place = os.path.normpath(folder / recommended.folder)
    commands = {"predict": command("predict", place, head=head, relation=relation)}
    try_dim = None
    if recommended.model not in SMALL and small.dim < recommended.dim:
        try_dim = min(1 << small.dim.bit_length(), recommended.dim)
        own = {} if out is None else {"out": f"{out}-{try_dim}"}
        commands["try"] = (
            command("run", config=str(folder / "settings.yaml"), dim=str(try_dim), **own)
            if source
            else f"mulde.run(graph, dim={try_dim}, ...)  # in Python, with the other options of this run"
        )
    untrained = tuple(it for it in candidates if it.epochs == 0)
    return Verdict(best, recommended, small, gain, try_dim, (head, relation, tail), commands, untrained)
