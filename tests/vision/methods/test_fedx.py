"""FedX: its four terms by loops, refusals, federated SimCLR without them, and rounds from end to end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method, OptimizerSpec, Trainer, is_frozen
from mulde.engine.protocol import Setup
from mulde.losses.contrastive import nt_xent
from mulde.vision.methods import fedx
from mulde.vision.methods.fedx import Config, Encoder, FedX
from mulde.vision.training.evaluation import probe_accuracy
from mulde.vision.training.federation import Rounds
from mulde.vision.training.feeds import Beside, ImageBatch, ImageFeed
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.losses import restated
from tests.vision import toys

SMALL: dict[str, Any] = {
    "student": "mlp-12-6",
    "dimension": 8,
    "rounds": Rounds(3, 2, 2, "dirichlet:1", minimum=6, decay=1.0),
    "training": Training(1, 12, "none", OptimizerSteps("sgd", 0.05, momentum=0.9)),
    "shots": 3,
}


def config(**changes: Any) -> Config:
    return Config(**{**SMALL, **changes})


def made(**changes: Any) -> tuple[FedX, Beside]:
    return toys.built(fedx, config(**changes), toys.toy_split())


def test_what_is_built_can_be_trained_alone(tmp_path: Path) -> None:
    method, feed = made()
    Session(0, tmp_path).fit(Setup(method, feed), config())
    assert json.loads((tmp_path / "fit/config.json").read_text())["config"]["data"] == feed.images.checksum()


def apart(**changes: Any) -> tuple[FedX, ImageBatch]:
    """A method in float64 whose local encoder is not the server's, and a batch."""
    method, feed = made(**changes)
    batch = next(iter(feed))
    assert batch.views is not None and batch.others is not None
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in [*method.local.parameters(), *method.server.parameters()]:
            parameter.add_(0.5 * torch.randn_like(parameter))
    return method.double(), replace(batch, views=batch.views.double(), others=batch.others.double())


def outputs(encoder: Encoder, images: Tensor) -> tuple[Any, Any]:
    with torch.no_grad():
        return tuple(x.numpy() for x in encoder(images))


def relations(views: Any, others: Any) -> Any:
    """softmax_k cos(a, u_k) / .1 by a double loop."""
    unit = [[v / np.sqrt(v @ v) for v in x] for x in (views, others)]
    return restated.softmax(np.array([[a @ u / 0.1 for u in unit[1]] for a in unit[0]]))


def js(first: Any, second: Any, direction: str) -> float:
    rows = []
    for p, q in zip(first, second, strict=True):
        m = (p + q) / 2
        pairs = ((p, m), (q, m)) if direction == "paper" else ((m, p), (m, q))
        rows.append(sum(restated.kl(a, b) for a, b in pairs) / 2)
    return float(np.mean(rows))


@pytest.mark.parametrize("direction", ["paper", "released"])
def test_four_terms_equal_loops(direction: str) -> None:
    method, batch = apart(
        direction=direction, global_contrast_weight=2.0, relation_weight=3.0, global_relation_weight=4.0
    )
    assert batch.views is not None and batch.others is not None
    z, h = outputs(method.local, batch.views[0])
    z2, h2 = outputs(method.local, batch.views[1])
    u, _ = outputs(method.local, batch.others)
    server2, _ = outputs(method.server, batch.views[1])
    v, _ = outputs(method.server, batch.others)
    expected = {
        "local/contrast": restated.nt_xent(z, z2, 0.1),
        "local/global_contrast": 2 * restated.nt_xent(h, server2, 0.1),
        "local/relation": 3 * js(relations(z, u), relations(z2, u), direction),
        "local/global_relation": 4 * js(relations(h, v), relations(h2, v), direction),
    }
    found = {name: value.item() for name, value in method.losses(batch, toys.BEGINNING).items()}
    assert found == pytest.approx(expected, rel=1e-9) and min(found.values()) > 0.05


def test_relations_that_agree_cost_nothing_and_others_at_most_ln_2() -> None:
    method, _ = made()
    first, second, others = torch.randn(3, 5, 8)
    assert method.disagreement(first, 3 * first, others).item() == pytest.approx(0, abs=1e-6)
    assert 0 < method.disagreement(first, second, others).item() <= math.log(2)


def test_the_second_loader_may_not_be_missing() -> None:
    method, feed = made()
    batch = next(iter(feed))
    without_others, without_views = replace(batch, others=None), replace(batch, views=None)
    one_view = replace(batch, views=batch.views[:1])
    for broken, views, others in ((without_others, 2, 0), (without_views, 0, 12), (one_view, 1, 12)):
        with pytest.raises(ValueError) as error:
            method.losses(broken, toys.BEGINNING)
        assert str(error.value) == (
            "FedX compares two views of every image with the images of a second, independent batch; the feed "
            f"delivered {views} views and {others} other images; make it with Beside(ImageFeed(..., views=2), "
            "ImageFeed(...))"
        )


def test_the_second_batch_is_another_one_and_labels_are_hidden() -> None:
    method, feed = made()
    for batch in feed:
        assert (batch.labels == -1).all() and batch.others is not None and batch.views is not None
        assert not any(torch.equal(batch.others, view) for view in batch.views)
    alike = replace(batch, others=batch.views[0])
    losses = [method.losses(x, toys.BEGINNING)["local/relation"].item() for x in (batch, alike)]
    assert losses[0] != losses[1]


def test_the_server_teaches_and_does_not_learn() -> None:
    """Only the global terms depend on it, and its heads' predictor is not used."""
    method, batch = apart()
    assert is_frozen(method.server)
    before = method.losses(batch, toys.BEGINNING)
    with torch.no_grad():
        for parameter in method.server.predictor.parameters():
            parameter.add_(1.0)
    same = method.losses(batch, toys.BEGINNING)
    assert all(torch.equal(before[name], same[name]) for name in before)
    with torch.no_grad():
        for parameter in method.server.projector.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    after = method.losses(batch, toys.BEGINNING)
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "local/global_contrast", "local/global_relation"
    }  # fmt: skip


class SimCLR(Method):
    """What a client does without the terms of FedX."""

    def __init__(self, local: Encoder) -> None:
        super().__init__()
        self.local = local

    def learners(self) -> dict[str, Any]:
        return {"local": self.local.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        assert batch.views is not None
        return {"local/contrast": nt_xent(self.local(batch.views[0])[0], self.local(batch.views[1])[0], 0.1)}

    def predict(self, batch: ImageBatch) -> Tensor:
        return self.local.network(batch.images).pooled


def test_without_the_terms_a_client_does_simclr() -> None:
    """The heads' predictor stays as it was; batches of another shape sum in another order, hence no equal bits."""
    method, feed = made(**fedx.BASELINE)
    baseline = SimCLR(made()[0].local)
    predictor = [parameter.clone() for parameter in method.local.predictor.parameters()]
    for one in (method, baseline):
        Trainer(optimizers=OptimizerSpec("sgd", 0.02), progress=False).fit(one, feed, epochs=2, name=None)
    for (key, value), (_, other) in zip(*(x.local.state_dict().items() for x in (method, baseline)), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5, msg=key)
    assert all(map(torch.equal, predictor, method.local.predictor.parameters()))


def networks(**changes: Any) -> Any:
    return fedx.networks(config(**changes), toys.toy_split(), {})


def rounds(**changes: Any) -> Any:
    engine = pytest.importorskip("mulde.federated.rounds", reason="flwr is not installed", exc_type=ImportError)
    return engine.federate(fedx.federation(config(**changes), toys.toy_split(), Session(0), networks(**changes)))


def test_all_rounds_from_end_to_end(tmp_path: Path) -> None:
    """All weights travel, heads included, and a linear probe evaluates the mean."""
    found, start = rounds(), networks()["student"]
    moved = {key for key, value in start.state_dict().items() if not torch.equal(value, found.weights[key])}
    assert moved == set(found.weights) and any(key.startswith("predictor") for key in moved)
    figures = toys.metrics(fedx, config(), toys.toy_split(), Session(0, tmp_path))
    split = toys.toy_split()
    assert figures["untrained"] == pytest.approx(probe_accuracy(start.network, split.train, split.test, 3))
    start.load_state_dict(found.weights)
    assert figures["accuracy"] == pytest.approx(probe_accuracy(start.network, split.train, split.test, 3))
    assert toys.metrics(fedx, config(), split, Session(0, tmp_path)) == figures


def test_a_client_with_few_images_takes_smaller_batches() -> None:
    split = toys.toy_split()
    weights = networks()["student"].state_dict()
    feed = fedx.one_round(config(), split, networks(), weights, split.train[torch.arange(7)], 0).feed
    batches = list(feed)
    assert [len(batch) for batch in batches] == [7] and batches[0].others is not None


@pytest.mark.parametrize(("views", "mirror"), [("shift", True), ("shift", False), ("small", True), ("small", False)])
def test_views(views: str, mirror: bool) -> None:
    """Moves without mirroring keep pixel values; mirroring occurs without moves."""
    feed = made(views=views, mirror=mirror)[1].feed
    assert isinstance(feed, ImageFeed) and feed.augment is not None
    gradient = torch.arange(8.0).expand(200, 1, 8, 8)
    torch.manual_seed(0)
    slopes = feed.augment(gradient).diff(dim=3).flatten(1).mean(1)
    assert bool((slopes < 0).any()) is mirror
    kept = set(feed.augment(gradient).flatten().tolist()) <= set(range(8))
    assert kept is (views == "shift")


def test_the_papers_configuration() -> None:
    paper = Config()
    weights = (paper.global_contrast_weight, paper.relation_weight, paper.global_relation_weight)
    assert (paper.temperature, paper.dimension, weights) == (0.1, 256, (1.0, 1.0, 1.0))
    assert paper.rounds == Rounds(10, None, 100, "dirichlet:0.5", decay=1.0)
    assert (paper.training.epochs, paper.training.batch_size, paper.training.optimizer.lr) == (10, 64, 0.01)
    encoder = fedx.networks(paper, toys.toy_split(), {})["student"]
    layers = [module for module in encoder.projector if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(512, 256), (256, 256)]
