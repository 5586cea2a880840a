"""Teachers from disk: our run folders and bundles, matched to a graph by the names of entities and relations.

ULTRA (``ultra:PATH``) needs no names. Those of PyKEEN are opened by ``mulde.pykeen.open_teacher``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.storage.graph import ignore
from mulde.kge.storage.run_folder import DESCRIPTION, describe, graph_of, names_checksum, open_model
from mulde.kge.teachers.ensemble import Renumbered, match
from mulde.ultra.teacher import open_teacher as open_ultra


def open_teacher(place: Path | str, graph: TripleSet) -> nn.Module:
    """The model in a run folder, a bundle, or a pretrained model, or ``ultra:PATH``, queried by the ids of ``graph``.

    Raises
    ------
    UsageError
        With the missing names if it lacks an entity or relation of the graph.
    """
    if (ultra := open_ultra(place, graph)) is not None:
        return ultra
    if describe(place)["names"] == names_checksum(graph):
        return open_model(place, graph)
    try:
        theirs = graph_of(place, tell=ignore)
    except UsageError:
        return open_model(place, graph)  # raises the error about the names
    entities, relations = (
        match(kind, getattr(graph, kind), {name: number for number, name in enumerate(getattr(theirs, kind))},
              f"teacher {place}")
        for kind in ("entities", "relations")
    )  # fmt: skip
    return Renumbered(open_model(place, theirs), entities, relations, theirs.train)


def of_pykeen(place: Path) -> bool:
    """Whether a folder is a result of PyKEEN's pipeline and no run folder."""
    return (place / "trained_model.pkl").is_file() and not (place / DESCRIPTION).is_file()


def seen_test_triples(teacher: Any, graph: TripleSet) -> int:
    """How many test triples of the graph a renumbered teacher was trained on, where its training triples are known."""
    trained_on = getattr(teacher, "trained_on", None)
    if trained_on is None or not len(graph.test):
        return 0
    entities, relations = teacher.entities.cpu().numpy(), teacher.relations.cpu().numpy()
    heads, kinds, tails = graph.test.T
    known = KnownAnswers(np.asarray(trained_on))
    return int(known.contains(entities[heads], relations[kinds], entities[tails]).sum())
