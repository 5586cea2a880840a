"""The output of `mulde evaluate --protocol`: a model by the rules of other code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mulde.cli._output import show
from mulde.cli.evaluate import ALL
from mulde.kge.evaluation.link_prediction import LinkPrediction, evaluate, known_answers
from mulde.kge.evaluation.protocols import PROTOCOLS
from mulde.report.tables import COLUMNS, model_line, table

if TYPE_CHECKING:
    from kge_data.tripleset import TripleSet
    from mulde.cli.evaluate import Config
    from mulde.kge.model.kge_model import KGEModel


def restated(settings: Config, model: KGEModel, graph: TripleSet, description: Mapping[str, Any]) -> int:
    """Rank by one protocol, or by all, and print a row for each. Nothing is kept beside the model."""
    split, sample, seed = settings.split, settings.sample, settings.seed
    known = known_answers(graph) if sample is None else None
    found = [
        evaluate(model, graph, split, known, sample=sample, seed=seed, protocol=name, embeddings_only=True)
        for name in (PROTOCOLS if settings.protocol == ALL else [settings.protocol])
    ]
    if settings.json:  # its intervals take a moment
        return show(found[0].report() if len(found) == 1 else {it.protocol.name: it.report() for it in found}, "", True)
    name = graph.name if settings.data is None else f"{graph.name} (--data {settings.data})"
    drawn = "" if all(each.sample_of is None for each in found) else ", a random sample"
    lines = [
        model_line(description),
        f"{name}, {split} split{drawn}, filtered, both directions, embeddings only",
        table([_row(each) for each in found]),
        *(f"{each.protocol.name}: {each.protocol.about}" for each in found),
    ]
    if settings.details:
        lines += [line for each in found for line in _details(each)]
    return show({}, "\n".join(lines), False)


def _row(found: LinkPrediction) -> dict[str, Any]:
    metrics, rules = found.metrics(), found.protocol
    figures = {title: metrics[name] for name, title in COLUMNS.items()}
    return {"protocol": rules.name, **figures, "ties": rules.ties, "triples": len(found.triples)}


def _details(found: LinkPrediction) -> list[str]:
    lines = []
    for name in ("direction", "cardinality", "seen", "relation"):
        groups: dict[str, dict[str, float]] = getattr(found, f"by_{name}")()
        title = f"protocol {found.protocol.name}, by {name}"
        lines += ["", title, table([{name: group, **values} for group, values in groups.items()])]
    return lines
