"""`mulde.load`, `mulde.predict` and `mulde.explain`.

With an exported ONNX model the first two need numpy and onnxruntime only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import kge_data
from kge_data.tripleset import TripleSet
from mulde.config import values
from mulde.config.values import Count, NonNegative, Size
from mulde.errors import UsageError
from mulde.kge.inference import query
from mulde.kge.inference.answer import Settings
from mulde.kge.inference.candidate_choice import Listed, chosen_candidates
from mulde.kge.inference.frame import predict_many
from mulde.kge.inference.onnx_runtime import OnnxScorer, is_onnx
from mulde.kge.inference.predictor import predictor_of
from mulde.kge.inference.probability import calibration_in_memory, calibration_of
from mulde.kge.storage.description import describe
from mulde.kge.storage.graph import graph_of, refuse_no_triples

if TYPE_CHECKING:
    from mulde.kge.evaluation.calibration import Calibration
    from mulde.kge.inference.answer_set import AnswerSet
    from mulde.kge.inference.explanation import Explanation
    from mulde.kge.model.kge_model import KGEModel
    from mulde.kge.model.scorer import Scorer


def load(
    model: Path | str,
    graph: TripleSet | None = None,
    scorer: type[Scorer] | None = None,
    *,
    dim: int | None = None,
) -> Any:
    """Open a model, a `KGEModel` in eval mode, or an `OnnxScorer` for an ONNX bundle.

    Parameters
    ----------
    model
        Run folder, bundle, ONNX bundle, or a name of `mulde list models`.
    graph
        The graph it was trained on. Without it, a model with a graph prior loads the graph itself.
    scorer
        Class of the scorer, for one that is not in `mulde list scorers`.
    dim
        One of the sizes of a model that was trained with ``dims``; None: the largest.

    Raises
    ------
    UsageError
        If there is no model, it is damaged or of another format, ``graph`` has other names, or the model was not
        trained at this size.
    """
    dim = values.typed(dim, Size | None, "`dim`")
    if is_onnx(model):
        if dim is not None:
            raise UsageError(f"{model}: an ONNX bundle has one size; export the original model with --dim {dim}")
        return OnnxScorer(model)
    from mulde.kge.storage.run_folder import open_model

    return open_model(model, graph, scorer, dim)


def predict(
    model: KGEModel | OnnxScorer | Path | str,
    graph: TripleSet | Path | str | None = None,
    queries: Any = None,
    *,
    relation: str | None = None,
    head: str | None = None,
    tail: str | None = None,
    top: int = 10,
    exclude_known: bool = False,
    embeddings_only: bool = False,
    probability: bool = True,
    candidates: Listed | None = None,
    type: str | None = None,
    types: Path | None = None,
    typed: bool = False,
    coverage: float | None = None,
    threads: int | None = None,
) -> Any:
    """The best tails of (head, relation, ?), heads of (?, relation, tail), or relations of (head, ?, tail).

    Ranks and scores are those of the complete model: embeddings, mask of self-loops and graph prior. Probabilities are
    calibrated on the validation split, by the embeddings only. A model that has no calibration gets one at the first
    prediction, if it has at least 50 validation triples; for a run folder it is kept in ``calibration.json``.

    Parameters
    ----------
    model
        A model; or a run folder, a bundle, an ONNX bundle, or a name of `mulde list models`.
    graph
        The graph of the model, its name, or a path. None: the one the model was trained on; a `KGEModel` needs it.
    queries
        Many queries in place of one: (head, relation, tail) with None for the part to predict, and without None for a
        triple to score; a DataFrame with these columns; or the path of a CSV, TSV or Parquet file.
    relation, head, tail
        Two of the three, as identifiers or readable names.
    top
        Number of answers to each query.
    exclude_known
        Leave out answers that the graph contains.
    embeddings_only
        Rank and score without the mask of self-loops and the graph prior.
    probability
        Whether to give probabilities.
    candidates
        Entities that heads and tails are limited to: names, or the path of a file with one name per line.
    type, types, typed
        Limit heads and tails to a type, by a file of lines "entity TAB type", or to the entities seen at this position
        of the relation in train; see `mulde.kge.inference.candidate_choice.chosen_candidates`.
    coverage
        Return the set of heads or tails that contains the right one with this coverage, at most 0.99, on average; see
        `mulde.kge.evaluation.coverage`. Of the other options, only ``threads`` goes with it.
    threads
        Processor threads; None: one for a graph with fewer than 10,000 entities, otherwise as many as torch uses.

    Returns
    -------
    Answers, AnswerSet or Predictions
        A list of answers to one query, the set with a coverage, or a table of answers to all queries; all have
        ``to_pandas()``.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        With the nearest names, or the candidates. Of many queries, the row has this sentence in its column error.
    UsageError
        If not exactly two of head, relation and tail are given, or the model is of another graph.
    """
    if queries is None:
        query.refuse_other_parts(head, relation, tail)
    elif any(part is not None for part in (head, relation, tail)):
        raise UsageError("predict takes two of head, relation and tail, or queries; got both")
    top = values.typed(top, Count, "`top`")
    opened, triples, calibrated = _opened(model, graph, threads)
    place = model if isinstance(model, Path | str) else None
    with _threads(opened, triples, threads):
        if coverage is not None:
            return _set(place, opened, triples, coverage, relation=relation, head=head, tail=tail)
        sets = chosen_candidates(triples, candidates, type, types, typed, model=place)
        answering = opened if sets is None else predictor_of(opened, triples).restricted(sets)
        calibration = calibrated() if probability else None
        if queries is not None:
            settings = Settings(top, exclude_known, embeddings_only)
            return predict_many(answering, triples, queries, settings, calibration)
        return query.predict(
            answering, triples, relation=relation, head=head, tail=tail, top=top, exclude_known=exclude_known,
            embeddings_only=embeddings_only, calibration=calibration,
        )  # fmt: skip


def explain(
    model: KGEModel | Path | str,
    graph: TripleSet | Path | str | None = None,
    *,
    head: str,
    relation: str,
    tail: str,
    top: int = 5,
    rule_seconds: float | None = None,
    probability: bool = True,
    threads: int | None = None,
) -> Explanation:
    """Why a model gives an answer: its score taken apart, rules that predict it, and the nearest training facts.

    The rules of a graph are mined at the first call and kept in the cache of `kge_data`.

    Parameters
    ----------
    model
        A model; or a run folder, a bundle, or a name of `mulde list models`.
    graph
        The graph of the model, its name, or a path. None: the one the model was trained on; a `KGEModel` needs it.
    head, relation, tail
        The fact, by identifiers or readable names.
    top
        Number of rules, of similar heads and of similar tails.
    rule_seconds
        Processor seconds for sampling rules with paths of three facts. None: as long as the shorter ones take. Rules
        that were kept with another time are mined again.
    probability
        Whether to give the calibrated probability.
    threads
        As for `predict`.

    Returns
    -------
    Explanation
        Prints as text; ``as_dict()`` for JSON, ``facts()`` for the training facts that it names.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        With the nearest names, or the candidates.
    UsageError
        If the model is of another graph or an ONNX bundle, or the graph has no triples.
    """
    from mulde.kge.inference.explain import explain as explained
    from mulde.kge.rules.storage import rules_of

    top, seconds = values.typed(top, Count, "`top`"), values.typed(rule_seconds, NonNegative | None, "`rule_seconds`")
    place = model if isinstance(model, Path | str) else None
    opened, triples, calibrated = _opened(model, graph, threads)
    if isinstance(opened, OnnxScorer):
        raise UsageError("an explanation needs the vectors of the original model; an ONNX bundle has none")
    refuse_no_triples(place or "the model", triples, "explain")
    with _threads(opened, triples, threads):
        rules = rules_of(triples, place, seconds, logging.getLogger("mulde").info)
        calibration = calibrated() if probability else None
        return explained(
            opened, triples, rules, head=head, relation=relation, tail=tail, top=top, calibration=calibration
        )


def _set(
    place: Path | str | None, model: KGEModel | OnnxScorer, graph: TripleSet, coverage: float, **query: str | None
) -> AnswerSet:
    """The set of answers to one query."""
    if isinstance(model, OnnxScorer):
        raise UsageError("a set with a coverage needs the original model; an ONNX bundle has no quantiles")
    from mulde.kge.inference.answer_set import answer_set
    from mulde.kge.inference.coverage import coverage_in_memory, coverage_of

    log = logging.getLogger("mulde").info
    fitted = (
        coverage_in_memory(model, graph) if place is None else coverage_of(place, model, graph, describe(place), log)
    )
    return answer_set(model, graph, fitted, coverage, **query)


def _opened(
    model: KGEModel | OnnxScorer | Path | str, graph: TripleSet | Path | str | None, threads: int | None
) -> tuple[KGEModel | OnnxScorer, TripleSet, Callable[[], Calibration | None]]:
    """The model, its graph, and a function that opens or fits its calibration."""
    if isinstance(model, Path | str) and is_onnx(model):
        model = OnnxScorer(model, 1 if threads is None else threads)
    if isinstance(model, OnnxScorer):
        if graph is not None:
            model.refuse_other_graph(graph_called(graph))
        return model, model.graph, model.calibration
    if not isinstance(model, Path | str):
        if graph is None:
            raise UsageError("predict needs the graph of a model in memory; give the graph, its name or its path")
        triples = graph_called(graph)
        predictor_of(model, triples)  # refuses another graph
        return model, triples, partial(calibration_in_memory, model, triples)
    from mulde.engine.device import resolved
    from mulde.kge.storage.run_folder import open_model

    triples = graph if isinstance(graph, TripleSet) else graph_of(model, None if graph is None else str(graph))
    opened = open_model(model, triples).to(resolved("auto"))
    log = logging.getLogger("mulde").info
    return opened, triples, partial(calibration_of, model, opened, triples, describe(model), log)


def _threads(model: KGEModel | OnnxScorer, graph: TripleSet, count: int | None) -> AbstractContextManager[None]:
    """A block with torch's threads for a graph; ONNX Runtime has threads of its own."""
    if isinstance(model, OnnxScorer):
        return nullcontext()
    from mulde.kge.model.threads import threads_for

    return threads_for(graph, count)


def graph_called(data: Any) -> TripleSet:
    """A graph: as it is, by name or path, or of triples in a DataFrame, an array or a list.

    Raises
    ------
    UsageError
        If it is nothing of these.
    """
    if isinstance(data, TripleSet):
        return data
    if hasattr(data, "columns") or isinstance(data, list | np.ndarray):
        return kge_data.from_triples(data)
    if not isinstance(data, str | Path):
        raise UsageError(
            f"expected a graph, its name, a path, or triples, got {type(data).__name__}; make a graph of triples with "
            "kge_data.from_triples, and of PyKEEN's factories with mulde.pykeen.triple_set"
        )
    return kge_data.load(data)
