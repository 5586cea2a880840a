"""The frontier tells what the graph adds to the vectors, and only where it adds something."""

from __future__ import annotations

from pathlib import Path

import pytest

from mulde.report.gather import Stage
from mulde.report.quality import frontier


def stage(name: str, role: str, mrr: float, vectors: float, megabytes: float) -> Stage:
    test = {"realistic": {"mrr": mrr}, "embeddings_only": {"mrr": vectors}}
    return Stage(name, role, Path(), test, megabytes=megabytes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("vectors", "strokes"), [(0.45, 2), (0.5, 0)])
def test_vectors_alone(vectors: float, strokes: int) -> None:
    figure = frontier([stage("big", "teacher", 0.6, 0.6, 40), stage("small", "junior", 0.5, vectors, 4)], None)
    assert figure is not None
    (drawing,) = figure.drawings
    assert drawing.count('class="join"') == strokes
    assert ("0.4500 by vectors alone" in drawing) == ("vectors alone" in figure.about) == (strokes > 0)
    expected = "83 % of the MRR of big (75 % by vectors alone) at 10 %" if strokes else "83 % of the MRR of big at 10 %"
    assert expected in figure.found
