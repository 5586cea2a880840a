"""The output of `predict --coverage`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mulde.cli._output import announce, show
from mulde.kge.inference.answer_set import answer_set
from mulde.kge.inference.coverage import coverage_of

if TYPE_CHECKING:
    from kge_data.tripleset import TripleSet
    from mulde.cli.predict import Config
    from mulde.kge.model.kge_model import KGEModel


def print_set(settings: Config, coverage: float, model: KGEModel, graph: TripleSet, description: dict[str, Any]) -> int:
    """The size of a set and its first answers; as JSON, all of them."""
    quantiles = coverage_of(settings.model, model, graph, description, announce)
    found = answer_set(
        model, graph, quantiles, coverage, relation=settings.relation, head=settings.head, tail=settings.tail
    )
    if found.coverage != coverage:
        announce(f"--coverage {coverage:g} is rounded up to {found.coverage:g}")
    result = {**found.as_dict(), "answers": [asdict(answer) for answer in found]}
    return show(result, found.text(settings.top), settings.json)
