"""The comparison with mdistiller: a row of its table, and features in that code's form."""

from __future__ import annotations

import torch

from benchmarks.quality import mdistiller, other_losses
from mulde.vision.models import network


def test_a_row_of_both_sides() -> None:
    def run(side: str, accuracy: float, rate: float) -> dict[str, object]:
        return {"soft": "kd", "side": side, "metrics": {"accuracy": accuracy, "pictures_per_second": rate}}

    found = [run("mulde", 0.5, 90), run("mdistiller", 0.4, 100), run("mdistiller", 0.5, 100), run("mulde", 0.6, 120)]
    assert other_losses.row("mdistiller", "kd", found) == {
        "loss": "kd",
        "seeds": 2,
        "mulde": "0.550 ± 0.071",
        "mdistiller": "0.450 ± 0.071",
        "difference": "+0.100 [+0.100, +0.100]",
        "rate, mulde": 105,
        "rate, mdistiller": 100,
        "ratio": 1.05,
    }


def test_features_are_those_of_all_stages() -> None:
    net, images = network("resnet8", 10).eval(), torch.randn(2, 3, 8, 8)
    logits, features = mdistiller.Both(net)(images)
    assert torch.equal(logits, net(images).logits) and features["pooled_feat"].shape == (2, 64)
    assert [tuple(each.shape[1:]) for each in features["feats"][1:]] == [(16, 8, 8), (32, 4, 4), (64, 2, 2)]
