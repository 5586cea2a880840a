"""FedNTD: its loss and its invariances, FedAvg at weight zero, and rounds from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.engine import OptimizerSpec, Trainer, load_weights
from mulde.losses.soft_labels import dkd, target_class_kl
from mulde.metrics.forgetting import forgetting
from mulde.vision.data.partition import partitioned
from mulde.vision.methods import fedntd
from mulde.vision.methods.fedntd import Config, FedNTD
from mulde.vision.methods.supervised import Supervised
from mulde.vision.models import StagedNetwork, network
from mulde.vision.training.evaluation import network_accuracy
from mulde.vision.training.federation import Rounds
from mulde.vision.training.feeds import ImageFeed
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.losses import restated
from tests.vision import toys

ROOT = Path(__file__).resolve().parents[3]
SMALL: dict[str, Any] = {
    "student": "mlp-12",
    "rounds": Rounds(4, 3, 3, "shards:2", minimum=4),
    "training": Training(2, 12, "none", OptimizerSteps("sgd", 0.1, momentum=0.9)),
}


def config(**changes: Any) -> Config:
    return Config(**{**SMALL, **changes})


def apart(**changes: Any) -> FedNTD:
    """A method whose local network has moved away from the server."""
    method, feed = toys.built(fedntd, config(**changes), toys.toy_split())
    Trainer(optimizers=OptimizerSpec("sgd", 0.3), progress=False).fit(method, feed, epochs=2, name=None)
    return method


def answers(method: FedNTD) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return method.local(toys.batch().images).logits, method.server(toys.batch().images).logits


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_terms_equal_numpy(temperature: float) -> None:
    method = apart(beta=0.7, temperature=temperature)
    own, theirs = (x.double().numpy() for x in answers(method))
    labels = toys.batch().labels.tolist()
    found = method.losses(toys.batch(), toys.BEGINNING)
    hard = -np.log(restated.softmax(own)[np.arange(12), labels]).mean()
    soft = restated.not_true(theirs, own, labels, temperature)
    assert soft > 1e-3
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {"local/hard": hard, "local/not_true": 0.7 * soft}, rel=1e-5
    )


def test_control_moves_every_logit_to_the_next_class() -> None:
    method = apart(anchor="wrong classes")
    own, theirs = (x.double().numpy() for x in answers(method))
    found = method.losses(toys.batch(), toys.BEGINNING)["local/not_true"].item()
    moved = theirs[:, [7, 0, 1, 2, 3, 4, 5, 6]]
    assert found == pytest.approx(restated.not_true(moved, own, toys.batch().labels.tolist(), 1.0), rel=1e-5)


def test_it_is_the_nckd_of_dkd() -> None:
    """Everything that DKD adds to its target-class part, T² included, at weight one."""
    method = apart(temperature=2.0)
    (own, theirs), labels = answers(method), toys.batch().labels
    rest = dkd(theirs, own, labels, 2.0, others_weight=1.0) - target_class_kl(theirs, own, labels, 2.0)
    found = method.losses(toys.batch(), toys.BEGINNING)["local/not_true"]
    assert found.item() == pytest.approx(rest.item(), rel=1e-6, abs=1e-6)


class Shifted(torch.nn.Module):
    """A network whose logit of each image's own class is raised."""

    def __init__(self, net: StagedNetwork, shift: float) -> None:
        super().__init__()
        self.net, self.shift = net, shift

    def forward(self, images: Tensor) -> Any:
        found = self.net(images)
        own = torch.nn.functional.one_hot(toys.batch().labels, found.logits.shape[1])
        return found._replace(logits=found.logits + self.shift * own)


@pytest.mark.parametrize("who", ["local", "server"])
def test_the_true_class_does_not_matter_on_either_side(who: str) -> None:
    method = apart()
    before = method.losses(toys.batch(), toys.BEGINNING)
    setattr(method, who, Shifted(getattr(method, who), 5.0))
    after = method.losses(toys.batch(), toys.BEGINNING)
    assert torch.equal(after["local/not_true"], before["local/not_true"])
    assert torch.equal(after["local/hard"], before["local/hard"]) is (who == "server")


def test_the_true_logit_gets_no_gradient() -> None:
    """Of images of one class: the bias of that class does not move, those of the others do."""
    method, batch = apart(), toys.batch()
    label = int(batch.labels[0])
    own = batch.labels == label
    batch = replace(batch, images=batch.images[own], labels=batch.labels[own], index=batch.index[own])
    loss = method.losses(batch, toys.BEGINNING)["local/not_true"]
    (gradient,) = torch.autograd.grad(loss, method.local.classifier.bias)
    assert gradient[label] == 0 and gradient.count_nonzero() == 7


def test_at_the_first_step_it_is_zero_and_pulls_nowhere() -> None:
    method, _ = toys.built(fedntd, config(), toys.toy_split())
    loss = method.losses(toys.batch(), toys.BEGINNING)["local/not_true"]
    gradients = torch.autograd.grad(loss, list(method.local.parameters()))
    assert loss.item() == 0 and all(gradient.abs().max() < 1e-7 for gradient in gradients)


def test_with_two_classes_there_is_nothing_to_learn() -> None:
    two = toys.toy_split().train.labels < 2
    split = replace(toys.toy_split(), train=replace(toys.toy_split().train[two], classes=("a", "b")))
    method, feed = toys.built(fedntd, config(anchor="untrained"), split)
    assert method.losses(next(iter(feed)), toys.BEGINNING)["local/not_true"].item() == 0


def networks(**changes: Any) -> Any:
    return fedntd.networks(config(**changes), toys.toy_split(), {})


def federation(**changes: Any) -> Any:
    return fedntd.federation(config(**changes), toys.toy_split(), Session(0), networks(**changes))


def rounds(**changes: Any) -> Any:
    engine = pytest.importorskip("mulde.federated.rounds", reason="flwr is not installed", exc_type=ImportError)
    return engine.federate(federation(**changes))


def test_without_the_term_it_is_fedavg_bit_for_bit() -> None:
    """FedAvg written out: plain training of each client from the mean of the last ones."""
    found = rounds(beta=0.0)
    made = federation()
    parts = partitioned(toys.toy_split().train, "shards:2", 4, 0)
    weights = made.weights
    for number in (1, 2, 3):
        total: dict[str, Any] = {}
        chosen = made.cohort(number)
        count = sum(len(parts[client]) for client in chosen)
        for client in chosen:
            net, seed = network("mlp-12", 8, 1, size=8), made.turn(client, number).seed
            net.load_state_dict(weights)
            optimizer = OptimizerSpec("sgd", 0.1 * 0.99 ** (number - 1), momentum=0.9)
            trainer = Trainer(optimizers=optimizer, seed=seed, progress=False)
            trainer.fit(Supervised(net), ImageFeed(parts[client], 12, seed=seed), epochs=2, name=None)
            for key, value in net.state_dict().items():
                total[key] = total.get(key, 0) + value.numpy() * (len(parts[client]) / count)
        weights = {key: torch.from_numpy(value) for key, value in total.items()}
    assert all(torch.equal(value, found.weights[key]) for key, value in weights.items())
    with_term = rounds(beta=1.0).weights
    assert not all(torch.equal(value, with_term[key]) for key, value in weights.items())


def test_the_server_teaches_what_the_client_received() -> None:
    """A round's anchor is the mean of the round before; the control's is not, and is the same in every round."""
    weights = {key: value + 1 for key, value in networks()["student"].state_dict().items()}
    split = toys.toy_split()
    honest = fedntd.one_round(config(), split, networks(), weights, split.train, 3).method
    assert all(torch.equal(value, weights[key]) for key, value in honest.server.state_dict().items())
    assert all(torch.equal(value, weights[key]) for key, value in honest.local.state_dict().items())
    control = fedntd.one_round(config(anchor="untrained"), split, networks(), weights, split.train, 3).method
    assert all(torch.equal(value, weights[key]) for key, value in control.local.state_dict().items())
    again = toys.built(fedntd, config(anchor="untrained"), split)[0].server.state_dict()
    found = control.server.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in found.items())
    assert not any(torch.equal(value, weights[key]) for key, value in found.items())


def test_all_rounds_from_end_to_end(tmp_path: Path) -> None:
    """Figures of the last rounds and forgetting from the history; a second call repeats nothing."""
    made = rounds()
    found = toys.metrics(fedntd, config(), toys.toy_split(), Session(0, tmp_path))
    assert len(made.history) == 3
    for name in ("accuracy", "in_local", "out_local"):
        assert found[name] == pytest.approx(np.mean([entry[name] for entry in made.history]))
    recalls = [[entry[f"recall/{i}"] for i in range(8)] for entry in made.history]
    assert found["forgetting"] == pytest.approx(forgetting(recalls)) == -found["remembering"]
    server = network("mlp-12", 8, 1, size=8)
    server.load_state_dict(made.weights)
    assert made.history[-1]["accuracy"] == pytest.approx(network_accuracy(server, toys.toy_split().test))
    stamp = (tmp_path / "rounds" / "record.json").stat().st_mtime_ns
    assert toys.metrics(fedntd, config(), toys.toy_split(), Session(0, tmp_path)) == found
    assert (tmp_path / "rounds" / "record.json").stat().st_mtime_ns == stamp


def test_rounds_do_not_change_what_they_begin_with() -> None:
    engine = pytest.importorskip("mulde.federated.rounds", reason="flwr is not installed", exc_type=ImportError)
    made = federation()
    before = {key: value.clone() for key, value in made.weights.items()}
    first = engine.federate(made).weights
    assert all(torch.equal(value, before[key]) for key, value in made.weights.items())
    again = engine.federate(made).weights
    assert all(torch.equal(value, first[key]) for key, value in again.items())


def test_clients_are_measured_in_the_last_rounds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fedntd, "LAST", 2)
    everywhere = {"round", "accuracy", *(f"recall/{i}" for i in range(8))}
    first, *last = rounds().history
    assert set(first) == everywhere and len(last) == 2
    assert all(set(entry) == everywhere | {"in_local", "out_local", "moved"} for entry in last)


def test_a_single_round_has_nothing_to_forget() -> None:
    pytest.importorskip("mulde.federated.rounds", reason="flwr is not installed", exc_type=ImportError)
    found = toys.metrics(fedntd, config(rounds=Rounds(4, 3, 1, "shards:2", minimum=4)), toys.toy_split(), Session(0))
    assert set(found) == {"accuracy", "in_local", "out_local", "moved"}


def test_the_papers_configuration() -> None:
    """100 clients, 10 a round, 200 rounds, 5 local epochs of batches of 50; the network of McMahan et al. 2017."""
    paper = Config()
    assert (paper.beta, paper.temperature) == (1.0, 1.0)
    assert paper.rounds == Rounds(100, 10, 200, "shards:2", decay=0.99)
    assert (paper.training.epochs, paper.training.batch_size) == (5, 50)
    optimizer = paper.training.optimizer
    assert (optimizer.optimizer, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.01, 0.9, 1e-5)
    net = network(paper.student, 10, 1, size=28)
    assert sum(parameter.numel() for parameter in net.parameters()) == 1_663_370  # as McMahan et al. count it


FEW: dict[str, Any] = {"rounds": Rounds(3, 2, 2, "shards:2", minimum=4)}


def simulate(folder: Path) -> None:
    """Runs rounds in Flower's simulation; they are saved in the folder as in any other federation."""
    from flwr.simulation import run_simulation

    from mulde.federated.rounds import client_app, server_app

    made = federation(**FEW)
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    start = {"num_cpus": 2, "include_dashboard": False}
    server = server_app(made, lambda outcome: None, folder)
    run_simulation(server, client_app(made), 3, backend_config={**resources, "init_args": start})


@pytest.mark.slow
def test_flowers_simulation_gives_the_same_weights(tmp_path: Path) -> None:
    """Two rounds of two of three clients in Ray's processes, against the serial grid."""
    pytest.importorskip("ray", reason='ray is not installed; it comes with `pip install "flwr[simulation]"`')
    expected = rounds(**FEW)
    module = "tests.vision.methods.test_fedntd"
    code = f"from pathlib import Path; from {module} import simulate; simulate(Path({str(tmp_path)!r}))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_worker_niceness"] = "0"  # its workers are at 15 otherwise and starve on a busy machine
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, timeout=400, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    found = load_weights(tmp_path / "rounds" / "final.safetensors")
    assert found.keys() == expected.weights.keys()
    for key, value in expected.weights.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-5)
    history = [json.loads(line) for line in (tmp_path / "rounds" / "log.jsonl").read_text().splitlines()]
    assert history == [pytest.approx(entry, abs=1e-5) for entry in expected.history] and len(history) == 2
    start = networks()["student"].state_dict()
    assert any(not torch.equal(value, start[key]) for key, value in found.items())
