"""Find the likeliest missing facts of a graph.

Examples:
    mulde discover runs/umls
    mulde discover wn18rr-32 --top 1000 --out facts.csv
    mulde discover umls-8 --relation causes --relation treats --per-relation 50
    mulde discover umls-8 --known train --json

Candidates are triples that the graph does not contain; --candidates chooses their heads and tails. The score is the
mean of the scores in both directions. The probability estimates whether a fact would be in a held-out split of the size
of the validation split. It is fitted to the validation triples among the candidates. It is an underestimate, because
true facts that are in no split count as false, and it is not the probability of `mulde predict`. The ending of --out
sets the format: .csv, .tsv, .parquet or .nt (N-Triples).

Precision at k is the fraction of the first k facts that would be in the test split, if those were not left out; facts
that are in no split count as false.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mulde.cli._output import announce, show
from mulde.config import Count, Threads
from mulde.config.command_line import Positional, parse
from mulde.errors import UsageError

if TYPE_CHECKING:
    from kge_data.keys import Ids
    from kge_data.tripleset import TripleSet

FIRST = ("model", "relation", "top", "per_relation", "out", "candidates", "known", "threads", "device", "json")
SHOWN, WRITTEN = 20, 1_000


@dataclass(frozen=True)
class Ends:
    """Heads and tails of the facts."""

    heads: Path | None = None
    """File of entities, one name per line: only facts with such a head."""
    tails: Path | None = None
    """The same for tails."""
    head_type: str | None = None
    """Only facts whose head has this type."""
    tail_type: str | None = None
    """The same for tails."""
    types: Path | None = None
    """File of lines `entity TAB type`. By default the types in the bundle (`mulde pack --types`), or the classes of a
    graph that was read from RDF."""

    def ids(self, graph: TripleSet, model: Path) -> dict[str, Ids | None]:
        """The entities that heads and tails are limited to."""
        from mulde.kge.inference.candidate_choice import entities_of

        if self.types is not None and self.head_type is None and self.tail_type is None:
            raise UsageError("--types belongs to --head-type or --tail-type; give one of them, too")
        return {
            "heads": entities_of(graph, self.heads, self.head_type, self.types, model),
            "tails": entities_of(graph, self.tails, self.tail_type, self.types, model),
        }


@dataclass(frozen=True)
class Config:
    """What to look for."""

    model: Positional[Path]
    """Run folder, bundle (`mulde pack`), or name of a pretrained model (`mulde list models`)."""
    relation: tuple[str, ...] = ()
    """Relation, by identifier or readable name; repeat the option for several. By default all."""
    top: Count | None = None
    """Number of facts; by default 20, with --out 1,000."""
    per_relation: Count | None = None
    """Largest number of facts of one relation."""
    out: Path | None = None
    """New file for the facts: .csv, .tsv, .parquet or .nt."""
    candidates: Literal["observed", "either", "all"] = "observed"
    """Pairs of head and tail that are searched: in train, the head is a head of the relation and the tail is a tail of
    it (observed), at least one of the two holds (either), or all pairs. There are 5 to 60 times as many pairs with
    either as with observed."""
    known: Literal["all", "train"] = "all"
    """Triples that are left out: those of all splits, or of train only, to see which facts the other splits confirm."""
    graph_prior: bool = True
    """Add the model's graph prior to the scores. With --candidates observed it is the same for
    all pairs of a relation."""
    labels: bool = False
    """Write readable names into --out in place of identifiers."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    threads: Threads | None = None
    """Processor threads. Default: all; one for graphs with fewer than 10,000 entities."""
    device: str = "auto"
    """Device: auto (cuda if there is one, otherwise cpu), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print the result as JSON."""
    ends: Ends = field(default_factory=Ends)


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde discover", __doc__ or "", first=FIRST)
    from mulde.cli._model import chosen
    from mulde.cli._process import computing
    from mulde.kge.inference.facts import check_file
    from mulde.kge.storage.graph import graph_of, refuse_no_triples

    settings = replace(settings, model=chosen(settings.model))
    graph = graph_of(settings.model, settings.data, announce)
    refuse_no_triples(settings.model, graph, "discover")
    if settings.out is not None:  # before the search, which may take minutes
        check_file(settings.out, graph)
    ends = settings.ends.ids(graph, settings.model)
    with computing(graph, settings.device, settings.threads) as device:
        return _searched(settings, graph, ends, device)


def _searched(settings: Config, graph: TripleSet, ends: dict[str, Ids | None], device: str) -> int:
    from mulde.kge.inference.discover import discover
    from mulde.kge.storage.run_folder import open_model

    model = open_model(settings.model, graph).to(device)
    top = settings.top if settings.top is not None else SHOWN if settings.out is None else WRITTEN
    began = time.monotonic()
    facts = discover(
        model,
        graph,
        relations=settings.relation or None,
        top=top,
        per_relation=settings.per_relation,
        candidates=settings.candidates,
        known=settings.known,
        graph_prior=settings.graph_prior,
        heads=ends["heads"],
        tails=ends["tails"],
        progress=None,
    )
    seconds = time.monotonic() - began
    announce(f"searched {facts.candidates:,} candidates in {seconds:.1f} s")
    if settings.out is not None:
        facts.write(settings.out, settings.labels)
        announce(f"{len(facts):,} facts are in {settings.out}")
    if facts and facts[0].probability is None:
        announce("no candidate is in the validation split: no probabilities, and relations compare by score only")
    result = {
        "graph": graph.name,
        "graph_prior": settings.graph_prior and model.graph_prior is not None,
        "candidates": facts.candidates,
        "precision": facts.precision,
        "seconds": seconds,
        "facts": [asdict(fact) for fact in facts],
    }
    return show(result, facts.text(None if settings.out is None else SHOWN), settings.json)
