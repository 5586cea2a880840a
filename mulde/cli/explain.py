"""Explain an answer: its score, rules that predict it, and similar facts.

Examples:
    mulde explain umls-8 --head virus --relation causes --tail human
    mulde explain runs/umls --head virus --relation causes --tail human --json
    mulde predict umls-8 --head virus --relation causes --why

The score is taken apart for both queries, (head, relation, ?) and (?, relation, tail): embeddings, graph prior, and
the mask of self-loops.

Rules are mined from the training graph: paths of one and two facts, all of them, paths of three by sampling, and rules
with a constant. Confidence is the share of the pairs connected by such paths that have the fact in train; PCA
confidence counts only pairs (x, y) where x has some answer of the relation. Neither is a probability. No path contains
the explained fact. The rules of a graph are mined at the first explanation and kept in the cache, in KGE_DATA_CACHE or
~/.cache/kge_data; `mulde pack --rules` puts them into a bundle.

Similar facts are training facts with the same relation and one entity in common, the nearest in the embedding first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mulde.cli._output import announce, show
from mulde.config import Count, NonNegative, Size, Threads
from mulde.config.command_line import Positional, parse

FIRST = ("model", "head", "relation", "tail", "top", "rule_seconds", "threads", "device", "json")


@dataclass(frozen=True)
class Config:
    """What to explain."""

    model: Positional[Path]
    """Run folder, bundle (`mulde pack`), or name of a pretrained model (`mulde list models`)."""
    head: str
    """Head, by identifier or readable name."""
    relation: str
    """Relation, by identifier or readable name."""
    tail: str
    """Tail, by identifier or readable name."""
    top: Count = 5
    """Number of rules, of similar heads and of similar tails."""
    rule_seconds: NonNegative | None = None
    """Processor seconds for sampling rules with paths of three facts; by default as long as the shorter ones take. 0
    samples none. Rules that were kept with another time are mined again."""
    probability: bool = True
    """Show the calibrated probability."""
    dim: Size | None = None
    """One of the sizes of a model that was trained with --dims; by default the largest."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    threads: Threads | None = None
    """Processor threads. Default: all; one for graphs with fewer than 10,000 entities."""
    device: str = "auto"
    """Device: auto (cuda if there is one, otherwise cpu), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde explain", __doc__ or "", first=FIRST)
    from mulde.cli._model import chosen
    from mulde.kge.storage.description import describe
    from mulde.kge.storage.graph import graph_of, refuse_no_triples

    settings = replace(settings, model=chosen(settings.model))
    description, graph = describe(settings.model), graph_of(settings.model, settings.data, announce)
    refuse_no_triples(settings.model, graph, "explain")
    for name in (settings.head, settings.tail):  # unknown names are reported before the model is read
        graph.entity_id(name)
    graph.relation_id(settings.relation)
    from mulde.cli._process import computing  # from here on with torch
    from mulde.kge.inference.explain import explain
    from mulde.kge.inference.probability import calibration_of
    from mulde.kge.rules.storage import rules_of
    from mulde.kge.storage.run_folder import open_model

    with computing(graph, settings.device, settings.threads) as device:
        model = open_model(settings.model, graph, dim=settings.dim).to(device)
        calibration = None
        if settings.probability:
            calibration = calibration_of(settings.model, model, graph, description, announce)
        found = explain(
            model,
            graph,
            rules_of(graph, settings.model, settings.rule_seconds, announce),
            head=settings.head,
            relation=settings.relation,
            tail=settings.tail,
            top=settings.top,
            calibration=calibration,
        )
    return show(found.as_dict(), found.text(), settings.json)
