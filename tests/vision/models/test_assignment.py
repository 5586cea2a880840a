"""PAA's assignment: by hand, against scikit-learn's mixture, and where there is little or nothing to assign."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.vision.models.assignment import (
    anchor_costs,
    by_object,
    cheap_side,
    of_owner,
    owners,
    positives,
    two_gaussians,
)
from mulde.vision.models.boxes import pairwise_iou

INF = float("inf")


def rows(*values: list[float]) -> Tensor:
    """Costs padded with infinity."""
    most = max(map(len, values))
    return torch.tensor([[*row, *[INF] * (most - len(row))] for row in values])


@pytest.mark.filterwarnings("ignore:.* did not converge")  # both stop after 100 rounds
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_the_mixture_is_scikit_learns(tolerance: float) -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    random = np.random.default_rng(0)
    lists = [
        [*random.normal(0.6, 0.1, 5), *random.normal(1.8, 0.3, 9)],
        [*random.uniform(0, 2, 18)],
        [0.5, 0.9],
        [*random.normal(1, 0.4, 11)],
    ]
    fit = two_gaussians(rows(*lists).double(), tolerance=tolerance)
    for i, values in enumerate(lists):
        x = np.float32(values).astype(float)[:, None]
        theirs = mixture.GaussianMixture(
            2,
            covariance_type="diag",
            tol=tolerance,
            weights_init=[0.5, 0.5],
            means_init=[x.min(0), x.max(0)],
            precisions_init=[[1.0], [1.0]],
        ).fit(x)
        np.testing.assert_allclose(fit.means[i], theirs.means_[:, 0], rtol=1e-6)
        np.testing.assert_allclose(fit.variances[i], theirs.covariances_[:, 0], rtol=1e-5)
        assert fit.component[i, : len(x)].tolist() == theirs.predict(x).tolist()
        np.testing.assert_allclose(fit.density[i, : len(x)], theirs.score_samples(x), rtol=1e-5)
        assert (fit.density[i, len(x) :] == -INF).all()


def test_a_list_with_two_heaps_is_cut_at_the_densest_of_the_cheap_ones() -> None:
    # The cheap costs are symmetric about 0.50: the middle has the highest density, larger ones are left out.
    cheap, dear = [0.40, 0.45, 0.50, 0.55, 0.60], [2.0, 2.1, 2.2, 2.3, 2.4, 2.5]
    assert cheap_side(rows(cheap + dear)).nonzero()[:, 1].tolist() == [0, 1, 2]


def test_no_candidate_and_one_candidate() -> None:
    found = cheap_side(rows([INF, INF, INF], [0.7], [0.3, 0.3, 0.3]))
    assert found[0].tolist() == [False] * 3
    assert found[1].tolist() == [True, False, False]
    assert found[2].any()
    assert cheap_side(torch.full((0, 4), INF)).shape == (0, 4)


def test_only_the_nine_cheapest_of_each_level_can_be_positive() -> None:
    levels = torch.tensor([0] * 20 + [1] * 3)
    costs = torch.full((1, 23), 0.5)
    costs[0, :12] = torch.linspace(1.0, 1.1, 12)  # the eight at 0.5 and the best of these reach the mixture
    costs[0, 20:] = torch.tensor([INF, 5.0, 5.1])
    found = positives(costs, levels)
    assert set(found[0].nonzero().flatten().tolist()) <= {*range(12, 20), 0}
    assert not found[0, 20:].any() and found[0, 12:20].any()


ANCHORS = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16], [8, 8, 16, 16]])
BOXES = torch.tensor([[[0.0, 0, 7, 8], [6, 0, 16, 8]], [[50, 50, 60, 60], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
LABELS = torch.tensor([[1, 0], [0, -1], [-1, -1]])


def test_candidates_belong_to_the_object_that_they_overlap_most() -> None:
    owner = owners(ANCHORS, BOXES, LABELS)
    assert owner.tolist() == [[0, 1, -1, -1], [-1] * 4, [-1] * 4]
    box, kind = of_owner(owner, BOXES, LABELS)
    assert box[0, :2].tolist() == BOXES[0].tolist() and kind[0, :2].tolist() == [1, 0]


def test_the_anchors_that_an_object_overlaps_most_are_its_candidates_however_little_that_is() -> None:
    anchors = torch.tensor([[0.0, 0, 64, 64], [32, 0, 96, 64], [64, 0, 128, 64]])
    tiny, large = [70.0, 10, 80, 20], [30.0, 0, 90, 64]
    boxes, labels = torch.tensor([[tiny, large], [large, tiny]]), torch.tensor([[0, 1], [0, -1]])
    assert pairwise_iou(boxes[0, :1], anchors).max() < 0.03
    # Two anchors hold the tiny object equally well; the second one's best object is the large one, whose best it is.
    assert owners(anchors, boxes, labels).tolist() == [[1, 1, 0], [0, 0, 0]]


def test_costs_by_hand() -> None:
    owner = owners(ANCHORS, BOXES, LABELS)
    logits = torch.zeros(3, 4, 2)  # p = 1/2: focal = 0.25 · 0.25 · ln 2 for the class, 0.75 · 0.25 · ln 2 for the other
    found = anchor_costs(logits, ANCHORS.expand(3, -1, -1), owner, BOXES, LABELS)
    focal = 0.25 * np.log(2)
    assert found[0, 0].item() == pytest.approx(focal + 1.3 * (1 - 56 / 64), rel=1e-6)
    assert found[0, 1].item() == pytest.approx(focal + 1.3 * (1 - 64 / 80), rel=1e-6)
    assert found[0, 2:].tolist() == [INF, INF] and found[1:].isinf().all()
    per_object = by_object(found, owner, LABELS)
    assert per_object.isfinite().tolist() == [[True, False, False, False], [False, True, False, False], [False] * 4]


def test_an_object_without_candidates_and_empty_images_have_no_positives() -> None:
    owner = owners(ANCHORS, BOXES, LABELS)
    costs = anchor_costs(torch.zeros(3, 4, 2), ANCHORS.expand(3, -1, -1), owner, BOXES, LABELS)
    found = positives(by_object(costs, owner, LABELS), torch.tensor([0, 0, 1, 1]))
    assert found.tolist() == [[True, False, False, False], [False, True, False, False], [False] * 4]
    nothing = by_object(costs[2:], owner[2:], LABELS[2:])
    assert positives(nothing, torch.tensor([0, 0, 1, 1])).shape == (0, 4)
