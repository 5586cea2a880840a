"""Rounds with Flower's own strategy: means, order, resuming, errors."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from mulde.engine import Clock, ConfigurationChanged, Method, OptimizerSpec, Trainer
from mulde.errors import MissingExtra

if TYPE_CHECKING:
    from mulde.federated.rounds import Federation, Turn, Visit

SGD = OptimizerSpec("sgd", 0.1, momentum=0.9)


def test_without_flower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    monkeypatch.delitem(sys.modules, "mulde.federated.rounds", raising=False)
    with pytest.raises(MissingExtra) as error:
        importlib.import_module("mulde.federated.rounds")
    assert str(error.value) == "federated rounds are run by Flower; install it with `pip install mulde[federated]`"


def engine() -> Any:
    """The module, where Flower is installed."""
    pytest.importorskip("flwr", reason="flwr is not installed")
    return importlib.import_module("mulde.federated.rounds")


class Line(Method):
    """A linear network on points and values."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.local = network

    def learners(self) -> dict[str, Any]:
        return {"local": self.local.parameters()}

    def losses(self, batch: list[Tensor], clock: Clock) -> dict[str, Tensor]:
        return {"local/hard": (self.local(batch[0]) - batch[1]).square().mean()}

    def predict(self, batch: list[Tensor]) -> Tensor:
        return self.local(batch[0])


def network(weights: dict[str, Tensor] | None = None) -> nn.Module:
    torch.manual_seed(3)
    made = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    if weights:
        made.load_state_dict(weights)
    return made


def points(client: int, count: int = 24) -> tuple[Tensor, Tensor]:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(client))
    return x, (x.sum(1, keepdim=True) + client).sin()


def federation(
    begin: Callable[[Turn, dict[str, Tensor]], Visit] | None = None, clients: int = 5, **changes: Any
) -> Federation:
    made: Federation = engine().Federation(begin or visit, network().state_dict(), clients, 4, evaluate=first_weight)
    return replace(made, **changes)


def visit(turn: Turn, weights: dict[str, Tensor]) -> Visit:
    """A client with 4, 8, 12, ... points, in an order that the turn's seed decides."""
    net, (x, y) = network(weights), points(turn.client, 4 * (turn.client + 1))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(turn.seed))
    method = Line(net)
    with torch.no_grad():
        start = method.predict([x]).mean().item()
    return engine().Visit(method, net, [[x[i], y[i]] for i in order.split(4)], len(x), 2, SGD, lambda: {"start": start})


def first_weight(weights: dict[str, Tensor], number: int) -> dict[str, float]:
    return {"first": weights["0.weight"][0, 0].item(), "number": number}


def federate(*arguments: Any, **options: Any) -> Any:
    return engine().federate(*arguments, **options)


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_clients_with_the_same_data_equal_one_trainer_bit_for_bit() -> None:
    """Four clients: the mean of four equal numbers is exact."""

    def same(turn: Turn, weights: dict[str, Tensor]) -> Visit:
        return visit(engine().Turn(2, turn.round, turn.round), weights)

    found = federate(federation(same, clients=4, rounds=3))
    single = network()
    for number in (1, 2, 3):
        own = same(federation().turn(0, number), single.state_dict())
        Trainer(optimizers=SGD, progress=False).fit(own.method, own.feed, epochs=2, name=None)
        single = own.network
    assert equal(found.weights, dict(single.state_dict()))


def test_one_step_on_equal_parts_is_one_step_on_all_data() -> None:
    plain, parts = OptimizerSpec("sgd", 0.1), [points(client) for client in range(3)]

    def step(turn: Turn, weights: dict[str, Tensor]) -> Visit:
        net = network(weights)
        return engine().Visit(Line(net), net, [list(parts[turn.client])], 24, 1, plain)

    found = federate(federation(step, clients=3, rounds=5, evaluate=None))
    single = Line(network())
    everything = [torch.cat(column) for column in zip(*parts, strict=True)]
    Trainer(optimizers=plain, progress=False).fit(single, [everything], epochs=5, name=None)
    for key, value in single.local.state_dict().items():
        torch.testing.assert_close(found.weights[key], value, rtol=1e-5, atol=1e-6)


def test_the_mean_is_weighted_by_examples() -> None:
    """Σ n_i w_i / Σ n_i over the clients of the round, and figures likewise."""
    made = federation(rounds=1, per_round=3)
    found, chosen = federate(made), made.cohort(1)
    assert len(chosen) == 3
    expected, start, total = dict.fromkeys(made.weights, 0.0), 0.0, 0
    for client in chosen:
        turn = made.turn(client, 1)
        own = visit(turn, made.weights)
        start, total = start + own.examples * own.measure()["start"], total + own.examples
        Trainer(optimizers=SGD, seed=turn.seed, progress=False).fit(own.method, own.feed, epochs=2, name=None)
        expected = {key: expected[key] + own.examples * value for key, value in own.network.state_dict().items()}
    for key, value in expected.items():
        torch.testing.assert_close(found.weights[key], value / total, rtol=1e-5, atol=1e-6)
    assert found.history[0]["start"] == pytest.approx(start / total, rel=1e-5)
    assert found.history[0] | {"start": 0} == {"round": 1, "start": 0, **first_weight(found.weights, 1)}


def test_cohorts_depend_on_seed_and_round_only() -> None:
    made = federation(clients=20, per_round=5)
    drawn = [made.cohort(number) for number in range(1, 9)]
    other = replace(made, begin=lambda turn, weights: None, rounds=9)
    assert drawn == [other.cohort(number) for number in range(1, 9)]
    assert len({tuple(cohort) for cohort in drawn}) > 6 and drawn != [replace(made, seed=1).cohort(i) for i in range(8)]
    assert all(len(set(cohort)) == 5 and cohort == sorted(cohort) for cohort in drawn)
    assert {made.turn(client, number).seed for client in range(9) for number in range(9)} < set(range(2**24))


def test_the_order_of_nodes_and_replies_does_not_matter() -> None:
    module = engine()
    made = federation(per_round=3)

    class Reordered(module.SerialGrid):  # type: ignore[misc,name-defined]
        """Nodes in another order than their clients, replies in reverse."""

        def __init__(self, app: Any, clients: int) -> None:
            super().__init__(app, clients)
            nodes = list(self._contexts)
            self._contexts = dict(zip(nodes, list(self._contexts.values())[::-1], strict=True))

        def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
            return super().send_and_receive(list(messages))[::-1]

    grid = Reordered(module.client_app(made), made.clients)
    with module.in_process():
        found = module.serve(made, grid)
    expected = federate(made)
    assert equal(found.weights, expected.weights) and found.history == expected.history


class Stopped(Exception):
    """Ends a federation as a power cut would."""


@pytest.mark.parametrize("moment", ["in a round", "after a round"])
def test_a_killed_federation_continues_to_the_same_end(tmp_path: Path, moment: str) -> None:
    made = federation(per_round=3)
    whole = federate(made, tmp_path / "whole")
    turns: list[tuple[int, int]] = []

    def stopping(turn: Turn, weights: dict[str, Tensor]) -> Visit:
        turns.append((turn.round, turn.client))
        if moment == "in a round" and turns[-1] == (3, made.cohort(3)[1]):
            raise Stopped
        return visit(turn, weights)

    def evaluate(weights: dict[str, Tensor], number: int) -> dict[str, float]:
        if moment == "after a round" and number == 3:
            raise Stopped
        return first_weight(weights, number)

    with pytest.raises(Stopped):
        federate(replace(made, begin=stopping, evaluate=evaluate), tmp_path / "cut")
    torch.manual_seed(99)
    before, moment = len(turns), "never"
    resumed = federate(replace(made, begin=stopping), tmp_path / "cut")
    assert turns[before:] == [(number, client) for number in (3, 4) for client in made.cohort(number)]
    assert equal(resumed.weights, whole.weights) and resumed.history == whole.history
    logs = [(tmp_path / name / "rounds" / "log.jsonl").read_text() for name in ("whole", "cut")]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 4
    assert equal(federate(made).weights, whole.weights)  # and so without any folder


def test_a_finished_federation_is_loaded_and_a_changed_one_refused(tmp_path: Path) -> None:
    def never(turn: Turn, weights: dict[str, Tensor]) -> Visit:
        raise AssertionError("the rounds were repeated")

    made = federation(rounds=2, config={"beta": 1.0})
    first = federate(made, tmp_path)
    again = federate(replace(made, begin=never), tmp_path)
    assert equal(again.weights, first.weights) and again.history == first.history
    record = json.loads((tmp_path / "rounds" / "record.json").read_text())
    assert (record["stopped_by"], record["epochs"], record["metrics"]) == ("rounds", 2, first.history[-1])
    assert not (tmp_path / "rounds" / "checkpoint.pt").exists()
    with pytest.raises(ConfigurationChanged) as error:
        federate(replace(made, per_round=2, config={"beta": 0.0}), tmp_path)
    assert error.value.changes == ["config.beta: was 1.0, is 0.0", "per_round: was null, is 2"]


def test_counters_do_not_change() -> None:
    """BatchNorm's running statistics are averaged, its counter of batches is not."""

    def begin(turn: Turn, weights: dict[str, Tensor]) -> Visit:
        net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
        net.load_state_dict(weights)
        return engine().Visit(Line(net), net, [list(points(turn.client))], 24, 1, SGD)

    start = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)).state_dict()
    found = federate(federation(begin, rounds=1, weights=start, evaluate=None)).weights
    assert found["0.num_batches_tracked"].item() == 0 and found["0.num_batches_tracked"].dtype == torch.int64
    expected = 0.1 * torch.stack([points(client)[0].mean(0) for client in range(5)]).mean(0)
    torch.testing.assert_close(found["0.running_mean"], expected)


def test_clients_that_fail_or_do_not_reply() -> None:
    module = engine()
    made = federation(per_round=3, rounds=2)

    class Broken(module.SerialGrid):  # type: ignore[misc,name-defined]
        reason = ""

        def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> list[Any]:
            from flwr.app import Error, Message

            sent = list(messages)
            replies = super().send_and_receive(sent)
            if sent and sent[0].metadata.message_type == "train":
                bad = [Message(Error(1, self.reason), reply_to=sent[-1])] if self.reason else []
                return replies[:-1] + bad
            return replies

    with module.in_process(), pytest.raises(RuntimeError) as error:
        module.serve(made, Broken(module.client_app(made), made.clients))
    assert str(error.value) == "round 1: 2 of 3 clients sent weights; the others did not reply in time"
    Broken.reason = "out of memory"
    with module.in_process(), pytest.raises(RuntimeError) as error:
        module.serve(made, Broken(module.client_app(made), made.clients))
    assert str(error.value) == "round 1: 2 of 3 clients sent weights; out of memory"


def test_messages() -> None:
    module = engine()
    with pytest.raises(ValueError) as error:
        federation(per_round=6)
    assert str(error.value) == (
        "expected at least 1 round and between 1 and 5 clients in it; got 4 rounds with 6 of 5 clients"
    )
    made = federation()
    with module.in_process(), pytest.raises(ValueError) as error:
        module.serve(made, module.SerialGrid(module.client_app(made), 6))
    assert str(error.value) == (
        "expected 5 clients, numbered from 0 by `partition-id`; got [0, 1, 2, 3, 4, 5]; "
        "start as many nodes as there are clients"
    )
    grid = module.SerialGrid(module.client_app(made), 5)
    grid._contexts[3].node_config = {}
    with module.in_process(), pytest.raises(ValueError) as error:
        module.serve(made, grid)
    assert str(error.value) == (
        "node 3 has no partition-id, the number of its client; Flower's simulation sets it, "
        "for a SuperNode give it with --node-config"
    )


def test_clients_that_do_not_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    module = engine()
    monkeypatch.setattr(module, "TIMEOUT", 0.0)
    with module.in_process(), pytest.raises(TimeoutError) as error:
        module.serve(federation(), module.SerialGrid(module.client_app(federation()), 3))
    assert str(error.value) == "3 of 5 clients have connected in 0 seconds; start the others"
