"""Plot of an ablation study: one line per seed through the variants. Needs matplotlib."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure


def plot_variants(rows: Sequence[Mapping[str, Any]], metric: str, title: str, note: str = "") -> bytes:
    """A PNG: variants from left to right, one line per seed, the mean of each variant as a bar.

    Parameters
    ----------
    rows
        Runs with seed, variant and metric (higher is better).
    note
        Text below the axis, usually the data.
    """
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    figure = Figure(figsize=(1.5 + 1.3 * len(variants), 4.2), layout="constrained")
    axes = figure.add_subplot()
    for seed in dict.fromkeys(row["seed"] for row in rows):
        own = {row["variant"]: row[metric] for row in rows if row["seed"] == seed}
        axes.plot(list(own), list(own.values()), "o-", color="0.6", linewidth=0.8, markersize=4)
    for position, variant in enumerate(variants):
        values = [row[metric] for row in rows if row["variant"] == variant]
        axes.hlines(
            sum(values) / len(values),
            position - 0.25,
            position + 0.25,
            color="C0",
            linewidth=3,
            label="" if position else "mean",
        )
    axes.plot([], [], "o-", color="0.6", linewidth=0.8, markersize=4, label="one seed")
    axes.legend(fontsize=7)
    axes.set_ylabel(f"{metric.replace('_', ' ')} on test data (higher is better)", fontsize=8)
    axes.set_xlabel(textwrap.fill(note, 22 * len(variants) + 10), fontsize=7)
    axes.set_title(title, fontsize=8, wrap=True)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return file.getvalue()
