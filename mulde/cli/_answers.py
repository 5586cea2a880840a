"""The output of `predict`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kge_data.printing import one_line
from mulde.cli._output import announce, show

if TYPE_CHECKING:
    from kge_data.tripleset import TripleSet
    from mulde.cli._candidates import Restriction
    from mulde.cli.predict import Config
    from mulde.kge.evaluation.calibration import Calibration
    from mulde.kge.inference.predictor import Predictor
    from mulde.kge.model.kge_model import KGEModel
    from mulde.kge.rules.rule import Rules


@dataclass(frozen=True)
class Source:
    """A model that is open."""

    model: KGEModel | Predictor
    graph: TripleSet
    calibration: Callable[[], Calibration | None]

    def restricted(self, restriction: Restriction, model: Path) -> Source:
        """The same model with the candidates that the options name."""
        from mulde.kge.inference.predictor import predictor_of

        sets = restriction.sets(self.graph, model)
        return self if sets is None else replace(self, model=predictor_of(self.model, self.graph).restricted(sets))


def print_answers(settings: Config, source: Source) -> int:
    """The answers to one query."""
    from mulde.kge.inference.query import predict

    answers = predict(
        source.model,
        source.graph,
        relation=settings.relation,
        head=settings.head,
        tail=settings.tail,
        top=settings.top,
        exclude_known=settings.exclude_known,
        embeddings_only=settings.embeddings_only,
        calibration=source.calibration() if settings.probability else None,
    )
    rows, text = [asdict(answer) for answer in answers], str(answers)
    if settings.why:
        from mulde.kge.inference.explain import first_reasons
        from mulde.kge.inference.explanation import reasons_text

        query = {"head": settings.head, "relation": settings.relation, "tail": settings.tail}
        reasons = first_reasons(source.graph, _rules(settings, source), answers, **query)
        rows = [{**row, "why": None if why is None else asdict(why)} for row, why in zip(rows, reasons, strict=True)]
        text = f"{text}\n\n{reasons_text(source.graph, answers, reasons)}"
    result = {"query": answers.query, "graph_prior": answers.prior, "among": answers.among, "answers": rows}
    return show(result, text, settings.json)


def print_score(settings: Config, source: Source) -> int:
    """Score, rank and probability of a triple."""
    from mulde.kge.inference.known import Known
    from mulde.kge.inference.predictor import predictor_of
    from mulde.kge.inference.query import score

    graph = source.graph
    head, relation, tail = settings.head or "", settings.relation or "", settings.tail or ""
    found = score(
        source.model,
        graph,
        head=head,
        relation=relation,
        tail=tail,
        calibration=source.calibration() if settings.probability else None,
        embeddings_only=settings.embeddings_only,
    )
    prior = predictor_of(source.model, graph).with_prior(settings.embeddings_only)
    names = [graph.entity_label(graph.entity_id(name)) for name in (head, tail)]
    query = one_line(f"{names[0]}, {graph.relation_label(graph.relation_id(relation))}")
    title = one_line(f"({query}, {names[1]})")
    masked = "no score, because the relation has no self-loop in train and the tail is masked"
    value = masked if found.score is None else f"score {found.score:.4f}"
    rank = f"rank {found.rank:,} of {graph.num_entities:,} answers to ({query}, ?)"
    lines = [title, f"{value}; {rank}{', with graph prior' if prior else ''}"]
    if Known(graph):
        lines.append(f"known in {found.known_in}" if found.known_in else "new: the graph does not contain it")
    if found.probability is not None:
        base = "assuming the base rate of the calibration set"
        lines.append(f"probability {found.probability:.3f}, by the embeddings only, {base}")
    return show({"triple": title, "graph_prior": prior, **asdict(found)}, "\n".join(lines), settings.json)


def print_explanation(settings: Config, source: Source) -> int:
    """Why a triple is an answer."""
    from mulde.kge.inference.explain import explain
    from mulde.kge.inference.predictor import Predictor

    assert not isinstance(source.model, Predictor), "refused when it was opened"
    found = explain(
        source.model,
        source.graph,
        _rules(settings, source),
        head=settings.head or "",
        relation=settings.relation or "",
        tail=settings.tail or "",
        calibration=source.calibration() if settings.probability else None,
    )
    return show(found.as_dict(), found.text(), settings.json)


def _rules(settings: Config, source: Source) -> Rules:
    from mulde.kge.rules.storage import rules_of

    return rules_of(source.graph, settings.model, None, announce)


def print_neighbours(settings: Config, source: Source, entity: str) -> int:
    """The entities nearest to one."""
    from mulde.kge.inference.predictor import Predictor
    from mulde.kge.inference.query import neighbours
    from mulde.kge.inference.top_k import middle_curvature

    model = source.model
    assert not isinstance(model, Predictor), "refused when it was opened"
    found = neighbours(model, source.graph, entity, top=settings.top, curvature=settings.curvature)
    curvature = middle_curvature(model) if settings.curvature is None else settings.curvature
    if not model.scorer.hyperbolic():
        distance, curvature = "Euclidean distance", None
    else:
        origin = "the median of its relations" if settings.curvature is None else "as given"
        distance = f"hyperbolic distance at curvature {curvature:.4g} ({origin})"
    title = f"nearest to {one_line(found.entity)}, {distance}"
    result = {"entity": entity, "distance": distance, "curvature": curvature, "nearest": [asdict(it) for it in found]}
    return show(result, f"{title}\n{found.table()}", settings.json)


def print_file(settings: Config, source: Source, queries: Path, out: Path) -> int:
    """Counts and speed, after the answers to a file of queries were written."""
    from mulde.kge.inference.answer import Settings
    from mulde.kge.inference.batch import answer_file
    from mulde.kge.inference.query_files import columns_of

    how = Settings(
        settings.top,
        settings.exclude_known,
        settings.embeddings_only,
        settings.labels,
        settings.curvature,
        settings.chunk,
        settings.columns,
    )
    likely = settings.probability and columns_of(queries, settings.columns) != ("entity",)
    began = time.monotonic()
    tally = answer_file(source.model, source.graph, queries, out, how, source.calibration() if likely else None)
    seconds = time.monotonic() - began
    if tally.refused:
        noun = "query" if tally.refused == 1 else "queries"
        announce(f"{tally.refused:,} {noun} could not be answered; see the column error of {out}")
    text = (
        f"{tally.queries:,} queries, {tally.answers:,} answers in {out} "
        f"({seconds:.1f} s, {tally.queries / max(seconds, 1e-9):,.0f} queries/s)"
    )
    return show({**asdict(tally), "out": str(out), "seconds": seconds}, text, settings.json)
