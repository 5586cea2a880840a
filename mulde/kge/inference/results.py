"""Results of predictions: lists of answers and neighbours that print as tables. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from kge_data.printing import one_line
from mulde.report.tables import data_frame, html_table, shorten, table


@dataclass(frozen=True)
class Answer:
    """One answer to a query."""

    rank: int
    """Position among all candidates, from 1."""
    identifier: str
    label: str
    """Readable name; the identifier if there is none."""
    score: float
    """By the complete model, or by the embeddings only if that was asked for."""
    known_in: str | None
    """First split that contains the triple; None for a new one."""
    probability: float | None = None
    """Calibrated probability of the triple, by the embeddings only; None without a calibration."""


@dataclass(frozen=True)
class Neighbour:
    """One entity near another."""

    rank: int
    """Position, from 1."""
    identifier: str
    label: str
    """Readable name; the identifier if there is none."""
    distance: float


class Answers(list[Answer]):
    """Answers to one query, best first.

    Parameters
    ----------
    answers
        The answers.
    query
        The query in readable names.
    prior
        Whether ranks and scores include a graph prior.
    known
        Whether it is known which triples the graph contains.
    among
        The candidates in words; empty: all entities.
    """

    def __init__(
        self,
        answers: Iterable[Answer] = (),
        query: str = "",
        *,
        prior: bool = False,
        known: bool = True,
        among: str = "",
    ) -> None:
        super().__init__(answers)
        self.query, self.prior, self.known, self.among = query, prior, known, among

    def to_pandas(self) -> Any:
        """One row for each answer as a pandas DataFrame."""
        return data_frame([asdict(answer) for answer in self], [field.name for field in fields(Answer)])

    def __repr__(self) -> str:
        return f"{one_line(self._title())}\n{table(self._rows()) if self else '(no answers)'}".lstrip("\n")

    def _repr_html_(self) -> str:
        return html_table(self._rows(), self._title())

    def _title(self) -> str:
        return f"{self.query}, {self.among}" if self.among else self.query

    def _rows(self) -> list[dict[str, Any]]:
        labelled = any(answer.label != answer.identifier for answer in self)
        likely = any(answer.probability is not None for answer in self)
        score, probability = titles(self.prior)
        return [
            {
                "rank": answer.rank,
                "answer": shorten(answer.label),
                **({"id": answer.identifier} if labelled else {}),
                score: answer.score,
                **({"known": answer.known_in or "new"} if self.known else {}),
                **({probability: answer.probability} if likely else {}),
            }
            for answer in self
        ]


def titles(prior: bool) -> tuple[str, str]:
    """Titles of the columns of scores and of probabilities; they differ in condition if there is a graph prior."""
    return ("score with graph prior", "probability, embeddings only") if prior else ("score", "probability")


class Neighbours(list[Neighbour]):
    """Entities near one entity, nearest first.

    Parameters
    ----------
    entity
        Its readable name.
    """

    def __init__(self, neighbours: Iterable[Neighbour] = (), entity: str = "") -> None:
        super().__init__(neighbours)
        self.entity = entity

    def to_pandas(self) -> Any:
        """One row for each neighbour as a pandas DataFrame."""
        return data_frame([asdict(neighbour) for neighbour in self], [field.name for field in fields(Neighbour)])

    def __repr__(self) -> str:
        return f"nearest to {one_line(self.entity)}\n{self.table()}"

    def _repr_html_(self) -> str:
        return html_table(self._rows(), f"nearest to {self.entity}")

    def table(self) -> str:
        """The neighbours as text, without the title."""
        return table(self._rows()) if self else "(no other entity)"

    def _rows(self) -> list[dict[str, Any]]:
        labelled = any(neighbour.label != neighbour.identifier for neighbour in self)
        return [
            {
                "rank": neighbour.rank,
                "entity": shorten(neighbour.label),
                **({"id": neighbour.identifier} if labelled else {}),
                "distance": neighbour.distance,
            }
            for neighbour in self
        ]
