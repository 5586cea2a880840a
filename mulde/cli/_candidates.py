"""The options that restrict the candidates for heads and tails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kge_data.tripleset import TripleSet
    from mulde.kge.evaluation.candidate_sets import CandidateSets


@dataclass(frozen=True)
class Restriction:
    """Candidates for heads and tails."""

    candidates: Path | None = None
    """File of entities, one name per line: rank these only."""
    type: str | None = None
    """Rank the entities of this type only."""
    types: Path | None = None
    """File of lines `entity TAB type`. By default the types in the bundle (`mulde pack --types`), or the classes of a
    graph that was read from RDF."""
    typed: bool = False
    """Rank only entities that occur at this position of the relation in train; with --types, those of the same
    types."""

    def given(self) -> bool:
        """Whether any of them is given."""
        return self != Restriction()

    def sets(self, graph: TripleSet, model: Path) -> CandidateSets | None:
        """The candidates; see `chosen_candidates`."""
        from mulde.kge.inference.candidate_choice import chosen_candidates

        return chosen_candidates(graph, self.candidates, self.type, self.types, self.typed, model=model)
