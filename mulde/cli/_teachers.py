"""Teachers that are named on the command line: checked before the graph is loaded, then opened for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mulde.cli._output import announce
from mulde.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from kge_data.tripleset import TripleSet


def check_teachers(places: Sequence[Path], needed: bool = True) -> None:
    """Raises UsageError where there is no teacher although one is needed, one is given twice, or a path is wrong."""
    from mulde.kge.storage.run_folder import describe
    from mulde.kge.teachers.opening import of_pykeen
    from mulde.kge.training.stage import refuse_twice
    from mulde.ultra.checkpoint import open_ultra, path_of

    if needed and not places:
        raise UsageError(
            "expected at least one teacher; got none; pass --teacher RUN for each run folder that `mulde train` made"
        )
    refuse_twice(places)
    for place in places:
        if (checkpoint := path_of(place)) is not None:
            open_ultra(checkpoint)
        elif not of_pykeen(place):
            describe(place)


def teacher_at(place: Path, graph: TripleSet, allow_pickle: bool) -> nn.Module:
    """A teacher from disk, with a remark where it was trained on other triples or on test triples."""
    from mulde.kge.storage.graph import compared
    from mulde.kge.teachers.opening import of_pykeen, open_teacher, seen_test_triples
    from mulde.ultra.checkpoint import path_of
    from mulde.ultra.pretraining import pretraining

    if (checkpoint := path_of(place)) is not None:
        announce(str(pretraining(checkpoint, graph)))
        return open_teacher(place, graph)
    if of_pykeen(place):
        from mulde.pykeen import open_teacher as open_theirs  # imports PyKEEN, which takes seconds

        teacher: nn.Module = open_theirs(place, graph, allow_pickle)
    else:
        teacher = open_teacher(place, graph)
        if differs := compared(place, graph):
            announce(f"teacher {place} was trained on other triples than those of {graph.name}: {differs}")
    if seen := seen_test_triples(teacher, graph):
        announce(f"teacher {place} was trained on {seen:,} of the {len(graph.test):,} test triples of {graph.name}")
    return teacher
