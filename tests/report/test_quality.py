"""Figures of quality show the embeddings only, and the graph prior beside them where it changes something."""

from __future__ import annotations

from pathlib import Path

import pytest

from mulde.report.quality import frontier
from mulde.report.runs import Stage


def stage(name: str, role: str, mrr: float, prior: float, megabytes: float) -> Stage:
    test = {"realistic": {"mrr": prior}, "graph_prior": True, "embeddings_only": {"mrr": mrr}}
    return Stage(name, role, Path(), test, megabytes=megabytes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("prior", "strokes"), [(0.55, 2), (0.5, 0)])
def test_the_graph_prior_is_beside_the_embeddings(prior: float, strokes: int) -> None:
    figure = frontier([stage("big", "teacher", 0.6, 0.6, 40), stage("small", "junior", 0.5, prior, 4)], None)
    assert figure is not None
    (drawing,) = figure.drawings
    assert drawing.count('class="join"') == strokes
    assert ("0.5500 with graph prior" in drawing) == ("with graph prior" in figure.about) == (strokes > 0)
    percent = 92 if strokes else 83
    assert f"small has 83 % of the MRR of big ({percent} % with graph prior) at 10 % of its size." in figure.found
