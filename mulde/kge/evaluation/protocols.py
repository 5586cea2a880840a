"""Evaluation protocols of published link prediction: what differs between them, and who uses which.

All are filtered by train, valid and test, rank both directions, and differ in three rules: whether the query entity is
a candidate, whether entities that do not occur in train are, and how ties count. Figures of different protocols are not
comparable. `strict` is the protocol of all our figures; the others state our models as other code would.

Averaging the scores of both directions, as LorentzKG does, changes the model and is no rule of evaluation.
Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mulde.errors import unknown

if TYPE_CHECKING:
    from mulde.metrics.ranks import Policy


@dataclass(frozen=True)
class EvaluationProtocol:
    """Rules of a ranking."""

    name: str
    about: str
    """What it changes, and who uses it."""
    query_entity: bool = True
    """Whether the query entity is a candidate; as the answer it always is."""
    unseen: bool = True
    """Whether triples with an entity or a relation that is not in train are ranked, and such entities candidates."""
    ties: Policy = "realistic"
    """Tie policy of the main figures. The realistic rank is also the expected rank where ties are in an arbitrary
    order, as after a sort."""


STRICT = EvaluationProtocol(
    "strict",
    "all triples are ranked against all entities, ties count half; also RotatE's code and NeuralKG, which order ties "
    "arbitrarily",
)
PROTOCOLS = {
    each.name: each
    for each in (
        STRICT,
        EvaluationProtocol(
            "pessimistic",
            "as strict, but ties count against the model; KGEmb (RotH, RefH, AttH), kbc (ComplEx-N3), MulDE, 3H-TH, "
            "GIE",
            ties="pessimistic",
        ),
        EvaluationProtocol(
            "optimistic",
            "as strict, but ties count for the model; OpenKE",
            ties="optimistic",
        ),
        EvaluationProtocol(
            "no-self",
            "the query entity is no candidate unless it is the answer, and ties count against the model; HyboNet, "
            "UltraE, LorentzKG, and MuRP, which orders ties arbitrarily",
            query_entity=False,
            ties="pessimistic",
        ),
        EvaluationProtocol(
            "seen",
            "triples with an entity or a relation that is not in train are dropped, and such entities are no "
            "candidates; PyKEEN's data sets (2,924 of WN18RR's 3,134 test triples), ExpressivE, SpeedE",
            unseen=False,
        ),
        EvaluationProtocol(
            "seen-no-self",
            "both: only entities and relations of train, without the query entity",
            query_entity=False,
            unseen=False,
        ),
    )
}
"""Name -> protocol."""
OTHER_NAMES = {"pykeen-wn18rr": "seen"}


def protocol_called(name: str) -> EvaluationProtocol:
    """The protocol of a name.

    Raises
    ------
    UsageError
        If there is none.
    """
    try:
        return PROTOCOLS[OTHER_NAMES.get(name, name)]
    except KeyError:
        raise unknown("protocol", name, [*PROTOCOLS, *OTHER_NAMES], "mulde evaluate --help") from None
