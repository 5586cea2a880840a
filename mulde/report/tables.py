"""Tables for the terminal, Markdown, HTML and pandas."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from kge_data.printing import one_line
from mulde.errors import MissingExtra
from mulde.report.lettering import terminal_columns

Rows = Sequence[Mapping[str, Any]]
FOLDERS = re.compile(r"[^:,=]*[/\\](?=[^/\\])")
"""Folders before the name of a file, also after the kind or the option of a specification."""
COLUMNS = {"mrr": "MRR", "hits@1": "Hits@1", "hits@3": "Hits@3", "hits@10": "Hits@10", "mr": "mean rank"}


def table(rows: Rows, markdown: bool = False) -> str:
    """Rows as aligned columns, numbers to the right.

    Parameters
    ----------
    rows
        Column -> value; a column that a row lacks is shown as a missing value.
    markdown
        Whether to write a Markdown table.
    """
    columns = _columns(rows)
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    if markdown:
        cells = [[value.replace("|", "\\|") for value in line] for line in cells]
    widths = [max(_width(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    right = [has_numbers(column, rows) for column in columns]

    def line(values: Sequence[str]) -> str:
        padded = [
            " " * (width - _width(value)) + value if to_right else value + " " * (width - _width(value))
            for value, width, to_right in zip(values, widths, right, strict=True)
        ]
        return f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip()

    rule = [
        ("-" * (width - 1) + ":") if to_right else "-" * width for width, to_right in zip(widths, right, strict=True)
    ]
    head = [line(columns), line(rule) if markdown else line(["-" * width for width in widths])]
    return "\n".join([*head, *(line(values) for values in cells)])


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(terminal_columns, text))


def html_table(rows: Rows, caption: str = "") -> str:
    """Rows as an HTML table, as notebooks show it."""
    columns = _columns(rows)
    styles = [f"text-align: {'right' if has_numbers(column, rows) else 'left'}" for column in columns]

    def line(tag: str, values: Sequence[str]) -> str:
        parts = [
            f'<{tag} style="{style}">{html.escape(value)}</{tag}>' for value, style in zip(values, styles, strict=True)
        ]
        return f"<tr>{''.join(parts)}</tr>"

    title = f"<caption>{html.escape(one_line(caption))}</caption>" if caption else ""
    body = "".join(line("td", [cell(row.get(column)) for column in columns]) for row in rows)
    return f"<table>{title}<thead>{line('th', columns)}</thead><tbody>{body}</tbody></table>"


def data_frame(rows: Rows | Mapping[str, Sequence[Any]], columns: Sequence[str] | None = None) -> Any:
    """Rows, or columns of equal length, as a pandas DataFrame.

    Raises
    ------
    UsageError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtra("to_pandas needs pandas, which is not installed; `pip install pandas`") from error
    return pandas.DataFrame(rows, columns=columns)


def cell(value: Any) -> str:
    """A value as all tables show it: floats to four digits, large ones to one, none as "-", text in one line."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else one_line(str(value))


def metrics_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An evaluation report as rows, one for each tie policy: metrics of the embeddings only, then the other figures."""
    rows = []
    for policy in ("realistic", "optimistic", "pessimistic"):
        only = report["embeddings_only"]
        only = only if policy == "realistic" else only[policy]
        row = {"ties": policy, **{title: only[name] for name, title in COLUMNS.items()}}
        if report["graph_prior"]:
            row[f"MRR with {report.get('condition', 'graph prior')}"] = report[policy]["mrr"]
        if "typed" in report:
            row["MRR typed"] = report["typed"][policy]["mrr"]
        rows.append(row)
    return rows


def in_one_unit(rows: Rows) -> list[dict[str, Any]]:
    """The rows with their column MB in kB, unless the smallest size is 10 MB or more."""
    sizes = [row["MB"] for row in rows if "MB" in row]
    if min(sizes, default=0) >= 10:
        return [dict(row) for row in rows]
    return [
        {"kB" if name == "MB" else name: round(1000 * value) if name == "MB" else value for name, value in row.items()}
        for row in rows
    ]


def shorten(label: str, width: int = 50) -> str:
    """A readable name in one line, cut to fit."""
    label = one_line(label)
    return label if len(label) <= width else f"{label[: width - 1].rstrip()}…"


def without_folders(value: Any) -> Any:
    """A setting with paths shortened to the name of the file or folder; lists and nested settings likewise.

    For cards and reports, which are passed on to others: ``onnx:/home/me/big.onnx`` becomes ``onnx:big.onnx``.
    """
    if isinstance(value, Mapping):
        return {name: without_folders(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(each) for each in value]
    return FOLDERS.sub("", str(value).rstrip("/\\")) if isinstance(value, str | PurePath) else value


def model_line(description: Mapping[str, Any]) -> str:
    """A saved model (the content of its model.json) in one line."""
    shape = f"{description['model']['dim']} dimensions, {description['parameters']:,} parameters"
    return f"{description['scorer']}, {shape}, trained on {description['data']['name']}"


def _columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def has_numbers(column: str, rows: Rows) -> bool:
    """Whether a column holds numbers, which are aligned to the right."""
    return any(isinstance(row.get(column), int | float) for row in rows)
