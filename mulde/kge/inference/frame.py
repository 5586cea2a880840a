"""Answers to many queries as one table in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from kge_data.tripleset import FIELDS, TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.calibration import Calibration
from mulde.kge.inference.answer import Chunks, Settings
from mulde.kge.inference.predictor import predictor_of
from mulde.kge.inference.query_columns import layout_of
from mulde.kge.inference.query_files import Rows, read_queries
from mulde.kge.inference.results import titles
from mulde.report.tables import data_frame, html_table, table

SHOWN = 20  # rows of the text


@dataclass(frozen=True, repr=False)
class Predictions:
    """Answers to many queries: columns of equal length, in the order of the queries.

    ``query`` (position of the query, from 0), ``head``, ``relation``, ``tail`` (the given ones and the answer),
    ``rank`` and ``score`` (of the complete model, or of the embeddings only), ``probability`` (of
    the embeddings only; with a calibration), ``known_in`` (the first split that contains the triple; not for a graph
    without triples) and ``error`` (why a query has no answer).
    """

    columns: dict[str, list[Any]]
    """Values by column; None for a missing one."""
    prior: bool = False
    """Whether ranks and scores include a graph prior."""

    def __len__(self) -> int:
        return len(self.columns["query"])

    def to_pandas(self) -> Any:
        """One row for each answer as a pandas DataFrame."""
        return data_frame(self.columns)

    def __repr__(self) -> str:
        more = f"\n({len(self) - SHOWN:,} more rows)" if len(self) > SHOWN else ""
        return f"{self._title()}\n{table(self._titled())}{more}"

    def _repr_html_(self) -> str:
        return html_table(self._titled(), self._title())

    def _title(self) -> str:
        refused = sum(map(bool, self.columns["error"]))
        without = f", {refused:,} {'query' if refused == 1 else 'queries'} could not be answered" if refused else ""
        return f"{len(self) - refused:,} answers{without}"

    def _titled(self) -> list[dict[str, Any]]:
        """The first rows as they are shown."""
        new = dict(zip(("score", "probability"), titles(self.prior), strict=True))
        head = (values[:SHOWN] for values in self.columns.values())
        rows = [dict(zip(self.columns, row, strict=True)) for row in zip(*head, strict=True)]
        hidden = () if any(row["error"] for row in rows) else ("error",)
        return [{new.get(name, name): value for name, value in row.items() if name not in hidden} for row in rows]


def predict_many(
    model: Any, graph: TripleSet, queries: Any, settings: Settings, calibration: Calibration | None = None
) -> Predictions:
    """Answers to many queries.

    Parameters
    ----------
    model, graph
        A model and its graph.
    queries
        (head, relation, tail) with None or "?" for the part to predict, and none for a triple to score; a DataFrame
        with these columns; or the path of a file (`mulde.kge.inference.query_files`).
    settings
        Options.
    calibration
        If given, answers have a probability.

    Raises
    ------
    UsageError
        If queries have another form. A query with an unknown name is not an error, but has the reason in its row.
    """
    predictor = predictor_of(model, graph)
    chunks = Chunks(predictor, graph, settings, calibration)
    columns: dict[str, list[Any]] = {name: [] for name in chunks.columns(FIELDS)}
    first = 0
    for rows in _read(queries, settings.chunk):
        if tuple(rows.columns) == ("entity",):
            raise UsageError(
                f"{queries}: expected head, relation and tail; neighbours are of `mulde predict --queries`"
            )
        for name, values in chunks.answer(rows, first).items():
            columns[name] += values
        first += len(rows)
    return Predictions({"query": columns.pop("row"), **columns}, predictor.with_prior(settings.embeddings_only))


def _read(queries: Any, size: int) -> Iterator[Rows]:
    if isinstance(queries, str | Path):
        yield from read_queries(Path(queries), size)
        return
    if hasattr(queries, "columns") and hasattr(queries, "itertuples"):
        queries = _of_frame(queries)
    if not isinstance(queries, Iterable):
        raise UsageError(f"queries should be a list, a DataFrame or a path; got {type(queries).__name__}")
    triples, number = iter(queries), 0
    while some := list(islice(triples, size)):
        rows = [_texts(query, number + i) for i, query in enumerate(some)]
        number += len(rows)
        yield Rows(dict(zip(FIELDS, map(list, zip(*rows, strict=True)), strict=True)), [""] * len(rows))


def _of_frame(frame: Any) -> Iterator[tuple[Any, ...]]:
    """Rows (head, relation, tail) of a DataFrame; a column that it lacks is predicted, other columns are ignored."""
    layout = layout_of(list(map(str, frame.columns)), "queries", None)
    place = dict(zip(layout.parts, layout.places, strict=True))
    if "entity" in place:
        raise UsageError("queries: expected at least two of the columns head, relation and tail; found entity")
    columns = [frame.iloc[:, place[part]] if part in place else [None] * len(frame) for part in FIELDS]
    return zip(*columns, strict=True)


def _texts(query: Any, number: int) -> list[str]:
    """Head, relation and tail as text, "" for a missing one (None, "?", NaN)."""
    if isinstance(query, str) or not isinstance(query, Sequence) or len(query) != 3:
        raise UsageError(f"queries[{number}]: expected (head, relation, tail) with None for one of them; got {query!r}")
    return ["" if part is None or part != part or part == "?" else str(part) for part in query]
