"""Tables of answers to a block of queries from a file, in the order of the queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.inverse import forward_id, internal_id, reciprocal_id
from kge_data.keys import Ids
from kge_data.tripleset import FIELDS, SPLITS, TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.calibration import Calibration
from mulde.kge.inference.base_rate import odds_of_candidates
from mulde.kge.inference.known import Known
from mulde.kge.inference.predictor import Predictor
from mulde.kge.inference.query import probabilities, refuse_no_triples
from mulde.kge.inference.query_files import Rows
from mulde.kge.model.graph_terms import is_masked

CHUNK = 1 << 15
TOO_FEW = "at least two of head, relation and tail are needed; the third may be missing"
Texts = NDArray[np.object_]
Block = dict[str, NDArray[Any]]  # some columns of a table; the others are empty

_SPLITS = np.array([*SPLITS, None], dtype=object)  # -1 is the last


@dataclass(frozen=True)
class Settings:
    """Options of the answers."""

    top: int = 10
    """Number of answers to each query."""
    exclude_known: bool = False
    """Whether to leave out answers that the graph contains."""
    embeddings_only: bool = False
    """Whether to rank and score without the mask of self-loops and the graph prior."""
    labels: bool = False
    """Whether to write readable names in place of identifiers."""
    curvature: float | None = None
    """Curvature for nearest entities; None: see `mulde.kge.inference.top_k.nearest`."""
    chunk: int = CHUNK
    """Number of queries that are answered at a time."""
    columns: str | None = None
    """Columns of the queries with head, relation and tail; None: by their names, see `kge_data.columns`."""


class Chunks:
    """Answers chunks of queries; holds the data common to all chunks.

    Parameters
    ----------
    predictor, graph
        A model and its graph.
    settings
        Options.
    calibration
        If given, triples also have a probability, by the embeddings only.

    Raises
    ------
    UsageError
        If known answers are to be left out, and the graph has no triples.
    """

    def __init__(self, predictor: Predictor, graph: TripleSet, settings: Settings, calibration: Calibration | None):
        self.predictor, self.graph, self.settings, self.calibration = predictor, graph, settings, calibration
        self.known = Known(graph)
        self.odds = None if calibration is None else odds_of_candidates(graph)
        if settings.exclude_known:
            refuse_no_triples(self.known, graph)
        self.entities = _names(graph.entities, graph.entity_label if settings.labels else None)
        self.relations = _names(graph.relations, graph.relation_label if settings.labels else None)

    def columns(self, given: Sequence[str]) -> tuple[str, ...]:
        """Columns of the answers to a file with these columns."""
        if tuple(given) == ("entity",):
            return "row", "entity", "nearest", "rank", "distance", "error"
        probability = () if self.calibration is None else ("probability",)
        known = ("known_in",) if self.known else ()
        return "row", *FIELDS, "rank", "score", *probability, *known, "error"

    def answer(self, rows: Rows, first: int) -> dict[str, list[Any]]:
        """The table for some rows of a file, refused rows included; ``first``: number of the first row."""
        ids, errors = self._ids(rows)
        if tuple(rows.columns) == ("entity",):
            blocks = [self._near(ids["entity"], np.flatnonzero(errors == ""))]
        else:
            blocks = list(self._triples(ids, errors))
        refused = np.flatnonzero(errors != "")
        blocks.append({"row": refused, "error": errors[refused]})
        for part, texts in rows.columns.items():
            blocks[-1][part] = np.array([text or None for text in texts], dtype=object)[refused]
        order = np.argsort(np.concatenate([block["row"] for block in blocks]), kind="stable")
        table: dict[str, list[Any]] = {}
        for column in self.columns(tuple(rows.columns)):
            values = [block.get(column, np.full(len(block["row"]), None)) for block in blocks]
            table[column] = np.concatenate([part.astype(object) for part in values])[order].tolist()
        table["row"] = [first + row for row in table["row"]]
        return table

    def _ids(self, rows: Rows) -> tuple[dict[str, Ids], Texts]:
        """Ids by column, -1 for a missing part; and for each row the reason why it is refused, or ""."""
        errors = np.array(rows.errors, dtype=object)
        ids = {}
        for part, texts in rows.columns.items():
            find = self.graph.relation_ids if part == "relation" else self.graph.entity_ids
            ids[part], reasons = find(texts)
            for row in np.flatnonzero(ids[part] < 0).tolist():
                if texts[row]:
                    errors[row] = "; ".join(filter(None, (errors[row], reasons[texts[row]])))
                elif part == "entity":
                    errors[row] = errors[row] or "no entity is given"
        return ids, errors

    def _triples(self, given: dict[str, Ids], errors: Texts) -> Iterator[Block]:
        """Answers to triples with at most one missing part; the others are refused in ``errors``, in place."""
        nothing = np.full(len(errors), -1)
        heads, relations, tails = (given.get(part, nothing) for part in FIELDS)
        ids = np.stack([heads, relations, tails], axis=1)
        missing = (ids < 0).sum(1)
        errors[(errors == "") & (missing > 1)] = TOO_FEW
        fine = errors == ""
        yield self._whole(ids, np.flatnonzero(fine & (missing == 0)))
        leave_out = self.known.answers if self.settings.exclude_known else None
        top = self.settings.top
        for place in range(3):
            rows = np.flatnonzero(fine & (missing == 1) & (ids[:, place] < 0))
            if not len(rows):
                continue
            head, relation, tail = ids[rows].T
            how = top, leave_out, self.settings.embeddings_only
            if place == 1:
                best = self.predictor.best_relations(head, tail, *how)
            elif place == 2:
                best = self.predictor.best_tails(head, forward_id(relation), *how)
            else:
                best = self.predictor.best_tails(tail, reciprocal_id(relation), *how)
            row, column = np.nonzero((best.ids >= 0) & ~is_masked(best.scores))
            answers = ids[rows[row]]
            answers[:, place] = best.ids[row, column]
            odds = None
            if place != 1 and self.odds is not None:
                odds = self.odds[internal_id(answers[:, 1], place == 0)]
            yield self._block(rows[row], answers, best.scores[row, column], odds) | {"rank": best.ranks[row, column]}

    def _whole(self, ids: Ids, rows: Ids) -> Block:
        """Scores of triples, each of the tail as an answer to (head, relation, ?)."""
        if not len(rows):
            return {"row": rows}
        score = self.predictor.embedding_scores if self.settings.embeddings_only else self.predictor.scores
        return self._block(rows, ids[rows], score(*ids[rows].T)[:, 0])

    def _block(self, rows: Ids, triples: Ids, scores: NDArray[Any], odds: NDArray[np.float64] | None = None) -> Block:
        head, relation, tail = triples.T
        shown = scores.astype(np.float64).astype(object)
        shown[is_masked(scores)] = None
        return {
            "row": rows,
            "head": self.entities[head],
            "relation": self.relations[relation],
            "tail": self.entities[tail],
            "score": shown,
            "known_in": _SPLITS[self.known.split(head, relation, tail)],
            "probability": np.array(
                probabilities(self.predictor, self.calibration, head, relation, tail, odds), object
            ),
        }

    def _near(self, entities: Ids, rows: Ids) -> Block:
        from mulde.kge.inference.top_k import TorchPredictor, nearest

        if not isinstance(self.predictor, TorchPredictor):
            raise UsageError(
                "neighbours need the embeddings, which an ONNX model does not give; use the original model"
            )
        best = nearest(self.predictor.model, entities[rows], self.settings.top, self.settings.curvature)
        row, column = np.nonzero(best.ids >= 0)
        return {
            "row": rows[row],
            "entity": self.entities[entities[rows[row]]],
            "nearest": self.entities[best.ids[row, column]],
            "rank": best.ranks[row, column],
            "distance": best.scores[row, column].astype(np.float64),
        }


def _names(identifiers: Sequence[str], label: Callable[[int], str] | None) -> Texts:
    names = np.empty(len(identifiers), dtype=object)
    names[:] = identifiers if label is None else [label(number) for number in range(len(identifiers))]
    return names
