"""Sets of answers that contain the right one with a stated coverage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from kge_data.inverse import internal_id
from kge_data.printing import one_line
from kge_data.tripleset import SPLITS, TripleSet
from mulde.config.values import Fraction, typed
from mulde.errors import UsageError
from mulde.kge.evaluation.coverage import OTHERS, TOPS, Coverage, Group, level_of
from mulde.kge.evaluation.coverage_fit import another_prior, candidate_scores, train_answers
from mulde.kge.evaluation.link_prediction import refuse_other_graph
from mulde.kge.inference.known import Known
from mulde.kge.inference.query import query_text
from mulde.kge.inference.results import Answer, Answers
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.report.tables import html_table, table

SHOWN = 20  # answers of the text
ROUNDING = 1e-4  # of a loss: a set is too large by this, more than scores of one query and of a batch differ


class AnswerSet(Answers):
    """All answers of a set, best first.

    Parameters
    ----------
    answers, query, prior
        As for `Answers`.
    coverage
        The coverage that is promised.
    candidates
        Number of candidates.
    group
        The calibration triples.
    about
        Which they are, in words.
    filtered
        Whether answers in train are no candidates.
    """

    def __init__(
        self, answers: Iterable[Answer] = (), query: str = "", *, prior: bool = False, coverage: float, candidates: int,
        group: Group, about: str, filtered: bool,
    ) -> None:  # fmt: skip
        super().__init__(answers, query, prior=prior, known=filtered)
        self.coverage, self.candidates, self.group, self.about = coverage, candidates, group, about

    @property
    def promise(self) -> str:
        """What the coverage means."""
        return (
            f"On average over triples drawn like those of validation, at least {self.coverage:.0%} have their answer "
            "in their set; this is no promise for a single query. The choice of the epoch, which also used these "
            "triples, is not accounted for."
        )

    def top(self, shown: int) -> tuple[int, float] | None:
        """The largest known number of first answers up to ``shown``, and its coverage; None without triples."""
        lengths = [place for place, k in enumerate(TOPS) if k <= shown]
        return (TOPS[lengths[-1]], self.group.top[lengths[-1]]) if lengths and self.group.triples else None

    def text(self, shown: int | None = None) -> str:
        """Size, coverage and table; ``shown``: number of rows, by default all."""
        lines = [one_line(self.query), self._size(shown)]
        more = [f"{len(self) - shown:,} more"] if shown is not None and shown < len(self) else []
        rows = [table(self._rows()[:shown])] if self else []
        return "\n".join([*lines, *rows, *more, self.promise])

    def as_dict(self) -> dict[str, Any]:
        """The description of the set as plain values, for JSON."""
        return {
            "query": self.query,
            "coverage": self.coverage,
            "size": len(self),
            "candidates": self.candidates,
            "calibration_triples": self.group.triples,
            "calibrated_on": self.about,
            "coverage_of_top": dict(zip(map(str, TOPS), self.group.top, strict=True)),
            "promise": self.promise,
            "graph_prior": self.prior,
        }

    def __repr__(self) -> str:
        return self.text(SHOWN)

    def _repr_html_(self) -> str:
        return html_table(self._rows()[:SHOWN], f"{self.query}: {self._size(SHOWN)}")

    def _size(self, shown: int | None) -> str:
        first = self.top(min(len(self), len(self) if shown is None else shown))
        top = "" if first is None else f"; the first {first[0]:,} with {first[1]:.0%}"
        kinds = "all entities but the answers in train" if self.known else "all entities"
        few = (
            "" if len(self) < self.candidates else ", which is all of them: there are too few triples for a smaller set"
        )
        return (
            f"{len(self):,} of {self.candidates:,} candidates contain the answer with {self.coverage:.0%} coverage{few}"
            f"{top}\ncandidates: {kinds}; calibrated on {self.group.triples:,} triples, {self.about}"
        )


def answer_set(
    model: KGEModel,
    graph: TripleSet,
    quantiles: Coverage,
    coverage: float,
    *,
    relation: str | None = None,
    head: str | None = None,
    tail: str | None = None,
) -> AnswerSet:
    """The set of answers to (head, relation, ?) or (?, relation, tail), see `mulde.kge.evaluation.coverage`.

    Parameters
    ----------
    model, graph
        A model and its graph.
    quantiles
        Its quantiles.
    coverage
        Coverage in (0, 0.99], rounded up to one of `mulde.kge.evaluation.coverage.LEVELS`.
    relation, head, tail
        The relation and one of the others, by identifier or readable name.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        With the nearest names, or the candidates.
    UsageError
        If other parts are given, the coverage is above 0.99, or the model was trained on another graph.
    """
    text = query_text(graph, relation, head, tail)
    if relation is None:
        raise UsageError("a set with a coverage holds heads or tails; give the relation and one of the two")
    refuse_other_graph(model, graph)
    level = level_of(typed(coverage, Fraction, "`coverage`"))
    kind = graph.relation_id(relation)
    given = np.array([graph.entity_id(head if head is not None else tail or "")])
    internal = np.array([internal_id(kind, head is None)])
    known = train_answers(graph) if quantiles.filtered else None
    weights, prior = quantiles.graph_prior, None
    if weights is not None:
        prior = GraphPrior(torch.tensor(weights, dtype=model.entity.dtype), graph.train)
    with another_prior(model, prior):
        [(_, scores)] = candidate_scores(model, given, internal, known)
        values = scores[0].double().cpu().numpy()
    key, group = quantiles.group_of(int(internal[0]))
    limit = float(quantiles.quantiles(internal, level)[0])
    losses = float(torch.from_numpy(values).logsumexp(0)) - values
    order = np.argsort(-values, kind="stable")
    inside = order[(losses[order] <= limit + ROUNDING) & np.isfinite(values[order])]
    ends = (np.broadcast_to(given, inside.shape), inside)
    heads, tails = ends if head is not None else ends[::-1]
    splits = Known(graph).split(heads, np.full(len(inside), kind), tails)
    rows = zip(inside.tolist(), values[inside].tolist(), splits.tolist(), strict=True)
    return AnswerSet(
        (
            Answer(
                rank, graph.entities[entity], graph.entity_label(entity), value, SPLITS[split] if split >= 0 else None
            )
            for rank, (entity, value, split) in enumerate(rows, 1)
        ),
        text,
        prior=prior is not None,
        coverage=level,
        candidates=int(np.isfinite(values).sum()),
        group=group,
        about=key if key in OTHERS else f"{'tails' if head is not None else 'heads'} of this relation",
        filtered=quantiles.filtered,
    )
