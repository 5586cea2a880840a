"""Results as people read them: aligned tables for the terminal, the same as Markdown, and the record of a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Mapping[str, Any]], markdown: bool = False) -> str:
    """Rows of equal keys as aligned columns; numbers to the right, floats to four digits, missing values as "-"."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    right = [any(isinstance(row.get(column), int | float) for row in rows) for column in columns]

    def line(values: Sequence[str]) -> str:
        padded = [
            value.rjust(width) if to_right else value.ljust(width)
            for value, width, to_right in zip(values, widths, right, strict=True)
        ]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    rule = [
        ("-" * (width - 1) + ":") if to_right else "-" * width for width, to_right in zip(widths, right, strict=True)
    ]
    head = [line(columns), line(rule) if markdown else line(["-" * width for width in widths])]
    return "\n".join([*head, *(line(values) for values in cells)])


def metrics_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The three tie policies of an evaluation as rows of a table."""
    return [{"rank": policy, **report[policy]} for policy in ("realistic", "optimistic", "pessimistic")]


def shorten(label: str, width: int = 50) -> str:
    """A readable name that fits a line; some are whole sentences."""
    return label if len(label) <= width else f"{label[: width - 1].rstrip()}…"


def answers_table(answers: Sequence[Any]) -> str:
    """Answers of `mulde.kge.inference.query.predict` as a table; identifiers where any differs from its name."""
    rows = [
        {
            "rank": it.rank,
            "answer": shorten(it.label),
            "id": it.identifier,
            "score": it.score,
            "known": it.known_in or "new",
        }
        for it in answers
    ]
    if all(answer.label == answer.identifier for answer in answers):
        rows = [{name: value for name, value in row.items() if name != "id"} for row in rows]
    return table(rows) if rows else "(no answers)"


def neighbours_table(found: Sequence[Any]) -> str:
    """Neighbours of `mulde.kge.inference.query.neighbours` as a table; identifiers where any differs from its name."""
    plain = all(it.label == it.identifier for it in found)
    rows = [
        {
            "rank": it.rank,
            "entity": shorten(it.label),
            **({} if plain else {"id": it.identifier}),
            "distance": it.distance,
        }
        for it in found
    ]
    return table(rows) if rows else "(no other entity)"


def model_line(description: Mapping[str, Any]) -> str:
    """A saved model (the content of its model.json) in one line."""
    shape = f"{description['model']['dim']} dimensions, {description['parameters']:,} parameters"
    return f"{description['scorer']}, {shape}, trained on {description['data']['name']}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
