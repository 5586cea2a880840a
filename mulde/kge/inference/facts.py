"""Facts that a graph may lack: a result that prints as a table and is written as CSV, TSV, Parquet or N-Triples."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from kge_data.printing import one_line
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.files import make_folder, refuse_existing, write_atomically
from mulde.kge.inference.answer_files import check_ending, write_table
from mulde.report.tables import data_frame, html_table, shorten, table

NTRIPLES = ".nt"
ENDINGS = (".csv", ".tsv", ".parquet", NTRIPLES)
SHOWN = 20  # rows of the printed form
TERM = re.compile(r'<[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>"{}|^`\\]*>')  # an absolute IRI
BLANK = re.compile(r"_:[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Fact:
    """A candidate fact, by identifiers."""

    rank: int
    """Position, from 1."""
    head: str
    relation: str
    tail: str
    score: float
    """Mean of the scores in both directions."""
    probability: float | None
    """See `mulde.kge.inference.discover.discover`; None if it could not be estimated."""
    known: str | None
    """Split that contains the triple; None for a new one."""


COLUMNS = tuple(field.name for field in fields(Fact))


class Facts(list[Fact]):
    """Facts, the likeliest first.

    Parameters
    ----------
    facts
        The facts.
    graph
        Their graph.
    candidates
        Number of candidates they were chosen from.
    precision
        Fraction of as many facts that is in the test split, with those of validation left out; None if unknown.
    """

    def __init__(
        self, facts: Iterable[Fact], graph: TripleSet, candidates: int, precision: float | None = None
    ) -> None:
        super().__init__(facts)
        self.graph, self.candidates, self.precision = graph, candidates, precision

    @property
    def title(self) -> str:
        """Graph, number of facts and of candidates."""
        return f"{one_line(self.graph.name)}: the {len(self):,} likeliest of {self.candidates:,} candidates"

    def to_pandas(self) -> Any:
        """One row for each fact as a pandas DataFrame, by identifiers."""
        return data_frame([asdict(fact) for fact in self], COLUMNS)

    def labelled(self) -> list[Fact]:
        """The facts by readable names, where there are any."""
        entity = lambda name: self.graph.entity_label(self.graph.entity_id(name))  # noqa: E731
        relation = lambda name: self.graph.relation_label(self.graph.relation_id(name))  # noqa: E731
        return [
            replace(fact, head=entity(fact.head), relation=relation(fact.relation), tail=entity(fact.tail))
            for fact in self
        ]

    def write(self, path: Path, labels: bool = False) -> None:
        """Write the facts to a new file, atomically; missing folders are made.

        Parameters
        ----------
        path
            A name that ends in .csv, .tsv or .parquet, for the columns of `Fact`, or in .nt, for N-Triples.
        labels
            Write readable names in place of identifiers; without effect on N-Triples.

        Raises
        ------
        UsageError
            As `check_file` does.
        """
        check_file(path, self.graph)
        make_folder(path.parent)
        if path.suffix == NTRIPLES:
            lines = (f"{_term(fact.head)} {_term(fact.relation)} {_term(fact.tail)} .\n" for fact in self)
            write_atomically(path, "".join(lines).encode(), new=True)
            return
        rows = self.labelled() if labels else self
        write_table(path, {name: [getattr(fact, name) for fact in rows] for name in COLUMNS})

    def __repr__(self) -> str:
        return self.text(SHOWN)

    def _repr_html_(self) -> str:
        return html_table(self._rows(SHOWN), self.title)

    def text(self, shown: int | None = None) -> str:
        """Title and table by readable names; ``shown``: number of rows, by default all."""
        rows = self._rows(shown)
        more = f"\n{len(self) - len(rows):,} more" if len(self) > len(rows) else ""
        precision = "" if self.precision is None else f"; precision at {len(self):,} on test: {self.precision:.1%}"
        return f"{self.title}{precision}\n{table(rows) if rows else '(no candidates)'}{more}"

    def _rows(self, shown: int | None) -> list[dict[str, Any]]:
        rows = [asdict(fact) for fact in Facts(self[:shown], self.graph, self.candidates).labelled()]
        for row in rows:
            row |= {part: shorten(row[part], 40) for part in ("head", "relation", "tail")}
            row["known"] = row["known"] or "new"
            if row["probability"] is None:
                del row["probability"]
        return rows


def check_file(path: Path, graph: TripleSet) -> None:
    """Raise UsageError if facts of a graph cannot be written to this file.

    That is: it exists, its ending is another one, or it is for N-Triples and the graph's identifiers are not IRIs.
    """
    refuse_existing(path)
    if path.suffix not in ENDINGS:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(ENDINGS)}, which sets the format")
    if path.suffix != NTRIPLES:
        check_ending(path)
        return
    for names, blank in ((graph.relations, False), (graph.entities, True)):
        for name in names:
            if not (TERM.fullmatch(f"<{name}>") or (blank and BLANK.fullmatch(name))):
                raise UsageError(
                    f"{path}: N-Triples hold IRIs, and {name!r} of {graph.name} is none; choose .csv, .tsv or .parquet"
                )


def _term(name: str) -> str:
    return name if name.startswith("_:") else f"<{name}>"
