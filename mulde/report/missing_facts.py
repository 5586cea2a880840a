"""The likeliest missing facts of a graph, by one of its models."""

from __future__ import annotations

from kge_data.tripleset import TripleSet
from mulde.kge.inference.discover import discover
from mulde.report.figure import Listing
from mulde.report.runs import Stage


def missing_facts(stage: Stage, graph: TripleSet | None, count: int) -> Listing | None:
    """The likeliest facts that no split contains; None without a model, or if there are no candidates."""
    model = stage.model
    if model is None or graph is None or not count:
        return None
    found = discover(model, graph, top=count)
    rows = [
        {"head": fact.head, "relation": fact.relation, "tail": fact.tail, "probability": fact.probability}
        for fact in found.labelled()
    ]
    if not rows:
        return None
    prior = "" if model.graph_prior is None else " with its graph prior"
    return Listing(
        "Likeliest missing facts",
        f"Triples that no split contains, as `mulde discover` finds them by {stage.name}{prior}, among "
        f"{found.candidates:,} candidates: pairs of entities that occur in the relation, each at its place. The "
        "probability is that of being in a held-out split, fitted on the validation split.",
        rows,
    )
