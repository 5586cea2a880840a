"""A method trained in rounds over many clients, by Flower.

    server ──weights──▶ each client of the round: build a method from them, train it ──weights, examples──▶ mean

The method of a round is *built* from the weights that the client receives, so what depends on them (a frozen
copy, say) is an argument of its constructor. Clients keep nothing from round to round. Hence the weights after
a round, its number and the figures so far are all there is to save, and a federation that was killed continues
with the round it was in, to the same end.

`federate` lets the clients work one after the other in this process. `client_app` and `server_app` are the same
two sides for Flower's own runtimes (`flwr run`, its simulation), which give the same weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mulde.engine.checkpoint import RunFolder, load_weights
from mulde.engine.device import Device
from mulde.engine.learning import OptimizerFactory
from mulde.engine.method import Method
from mulde.engine.provenance import fit_environment
from mulde.engine.record import Record
from mulde.engine.trainer import Trainer
from mulde.files import write_atomically

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # Flower reads it when it is imported
try:
    from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg

    from mulde.federated.serial_grid import SerialGrid, quiet
except ImportError as error:
    raise ImportError("federated rounds are run by Flower; install it with `pip install mulde[federated]`") from error

Weights = dict[str, Tensor]
"""Name -> value, as in a state dict."""
TRAIN, QUERY = "train", "query"
PATIENCE = 600.0
"""Seconds in which all clients have to come."""


@dataclass(frozen=True)
class Turn:
    """One client in one round."""

    client: int
    """Its number, from 0."""
    round: int
    """From 1."""
    seed: int
    """Of this client in this round; 24 bits, the same for all methods."""


@dataclass(frozen=True)
class Visit:
    """What a client does in its turn."""

    method: Method
    """Built from the weights received."""
    network: nn.Module
    """The part of the method whose weights travel."""
    feed: Iterable[Any]
    """The client's batches."""
    examples: int
    """Weight of this client in the mean."""
    epochs: int
    """Passes over the feed."""
    optimizers: OptimizerFactory | Mapping[str, OptimizerFactory]
    """As in `Trainer`; made anew in every round."""
    measure: Callable[[], Mapping[str, float]] = dict
    """Figures to report after training; the server averages them like the weights."""


@dataclass(frozen=True)
class Federation:
    """Who takes part, how often, and with what."""

    begin: Callable[[Turn, Weights], Visit]
    """A turn and the weights received -> what the client does. It draws from the turn's seed only."""
    weights: Weights
    """Of the network before the first round. What is not floating point (counters) stays as it is here."""
    clients: int
    """How many there are."""
    rounds: int
    """How often weights are exchanged."""
    per_round: int | None = None
    """How many clients are drawn in a round; None: all take part."""
    evaluate: Callable[[Weights, int], Mapping[str, float]] | None = None
    """The mean weights and the number of the round -> figures, after every round."""
    seed: int = 0
    """Of the clients drawn and of their turns."""
    device: str = "cpu"
    """Where clients compute."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The resolved configuration; compared when a federation is continued."""

    def __post_init__(self) -> None:
        if not 1 <= (self.per_round or 1) <= self.clients or self.rounds < 1:
            raise ValueError(
                f"expected at least 1 round and between 1 and {self.clients} clients in it; got "
                f"{self.rounds} rounds with {self.per_round} of {self.clients} clients"
            )

    def turn(self, client: int, number: int) -> Turn:
        """A client's turn in a round; its seed depends on nothing else."""
        digest = hashlib.sha256(f"{self.seed}/{number}/{client}".encode()).digest()
        return Turn(client, number, int.from_bytes(digest[:3], "big"))

    def cohort(self, number: int) -> list[int]:
        """The clients of a round, in order."""
        drawn = torch.randperm(self.clients, generator=torch.Generator().manual_seed(self.turn(-1, number).seed))
        return sorted(drawn[: self.per_round].tolist())


@dataclass(frozen=True)
class Outcome:
    """What a federation leaves behind."""

    weights: Weights
    """The mean after the last round."""
    history: list[dict[str, float]]
    """One entry per round: what clients measured, averaged over them, and what `evaluate` found."""


def federate(federation: Federation, folder: Path | None = None, name: str = "rounds") -> Outcome:
    """Runs all rounds in this process; folder and name as in `serve`. Raises ValueError where it is one of several."""
    if (processes := _trainer(federation.device).device.processes) > 1:
        raise ValueError(
            f"rounds are held in one process, here are {processes}; start one, or give clients processes of their own "
            "with Flower (`client_app`, `server_app`)"
        )
    with quiet():
        return serve(federation, SerialGrid(client_app(federation), federation.clients), folder, name)


def client_app(federation: Federation) -> ClientApp:
    """The clients' side. A client's number is the `partition-id` of its node, which Flower's simulation sets."""
    app = ClientApp()

    @app.query()  # type: ignore[untyped-decorator]
    def who(message: Message, context: Context) -> Message:
        return Message(RecordDict({"who": MetricRecord({"client": _number(context)})}), reply_to=message)

    @app.train()  # type: ignore[untyped-decorator]
    def train(message: Message, context: Context) -> Message:
        turn = federation.turn(_number(context), int(message.content["config"]["server-round"]))
        visit = federation.begin(turn, federation.weights | message.content["arrays"].to_torch_state_dict())
        trainer = _trainer(federation.device)
        trainer.optimizers, trainer.seed = visit.optimizers, turn.seed
        trainer.fit(visit.method, visit.feed, epochs=visit.epochs, name=None)  # the round is what is saved
        found = {"num-examples": visit.examples, **visit.measure()}
        content = {"arrays": _arrays(visit.network.state_dict()), "metrics": MetricRecord(found)}
        return Message(RecordDict(content), reply_to=message)

    return app


def server_app(
    federation: Federation,
    tell: Callable[[Outcome], object],
    folder: Path | None = None,
    name: str = "rounds",
) -> ServerApp:
    """The server's side; `tell` is called with the outcome. folder and name as in `serve`."""
    app = ServerApp()

    @app.main()  # type: ignore[untyped-decorator]
    def main(grid: Grid, context: Context) -> None:
        tell(serve(federation, grid, folder, name))

    return app


def serve(federation: Federation, grid: Grid, folder: Path | None = None, name: str = "rounds") -> Outcome:
    """All rounds under Flower's FedAvg, whatever the grid.

    folder, name: every round is saved in folder/name/; a finished federation is loaded from there, an
    unfinished one continued. None writes no files. Raises ConfigurationChanged as `Trainer.fit` does.
    """
    place = None if folder is None else RunFolder(folder / name)
    weights, history = federation.weights, []
    if place is not None:
        place.begin(_what_must_not_change(federation), fit_environment(Device(federation.device), federation.seed))
        if place.record() is not None:
            lines = place.log.read_text(encoding="utf-8").splitlines()
            return Outcome(load_weights(place.final), [json.loads(line) for line in lines])
        if (state := place.load()) is not None:
            weights, history = state["weights"], state["history"]
    started, done = time.monotonic(), len(history)
    strategy = Rounds(federation, done)

    def end_of_round(passed: int, arrays: ArrayRecord) -> None:
        nonlocal weights
        if not passed:  # Flower also asks before the first round
            return
        weights = federation.weights | arrays.to_torch_state_dict()
        found = {} if federation.evaluate is None else federation.evaluate(weights, done + passed)
        figures = {key: float(value) for key, value in {**strategy.measured, **found}.items()}
        history.append({"round": done + passed, **figures})
        if place is not None:
            write_atomically(place.log, "".join(f"{json.dumps(entry)}\n" for entry in history).encode())
            place.save({"weights": weights, "history": history})

    strategy.start(grid, _arrays(weights), federation.rounds - done, evaluate_fn=end_of_round)
    if place is not None:
        seconds = time.monotonic() - started  # of this call alone
        record = Record(name, True, "rounds", epochs=federation.rounds, seconds=seconds, metrics=history[-1])
        place.finish(record, weights)
    return Outcome(weights, history)


class Rounds(FedAvg):  # type: ignore[misc]
    """Flower's FedAvg, with clients drawn and summed by their numbers: not by node, nor by who answers first."""

    def __init__(self, federation: Federation, done: int) -> None:
        super().__init__(fraction_evaluate=0.0)
        self.federation, self.done = federation, done
        self.node: dict[int, int] = {}
        self.measured: dict[str, float] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self.node = self.node or self._ask(grid)
        number = self.done + server_round
        content = RecordDict({"arrays": arrays, "config": ConfigRecord({**config, "server-round": number})})
        self.asked = self.federation.cohort(number)
        return [Message(content, dst_node_id=self.node[client], message_type=TRAIN) for client in self.asked]

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[Any, Any]:
        found = {message.metadata.src_node_id: message for message in replies}
        failed = [message.error.reason for message in found.values() if message.has_error()]
        if failed or len(found) < len(self.asked):
            raise RuntimeError(
                f"round {self.done + server_round}: {len(found) - len(failed)} of {len(self.asked)} clients "
                f"sent weights; {failed[0] if failed else 'the others did not answer in time'}"
            )
        in_order = [found[self.node[client]] for client in self.asked]
        mean, metrics = super().aggregate_train(server_round, in_order)
        self.measured = dict(metrics)
        return mean, metrics

    def _ask(self, grid: Grid) -> dict[int, int]:
        """Number of every client -> its node."""
        clients = self.federation.clients
        begin = time.monotonic()
        while len(nodes := list(grid.get_node_ids())) < clients:
            if time.monotonic() - begin > PATIENCE:
                raise TimeoutError(
                    f"{len(nodes)} of {clients} clients have come in {PATIENCE:g} seconds; start the others"
                )
            time.sleep(0.5)
        questions = [Message(RecordDict(), dst_node_id=node, message_type=QUERY) for node in nodes]
        answers = list(grid.send_and_receive(questions))
        if failed := [answer.error.reason for answer in answers if answer.has_error()]:
            raise RuntimeError(f"{len(failed)} of {len(nodes)} clients did not tell their number; {failed[0]}")
        told = {int(answer.content["who"]["client"]): answer.metadata.src_node_id for answer in answers}
        if sorted(told) != list(range(clients)):
            raise ValueError(
                f"expected {clients} clients, numbered from 0 by `partition-id`; got {sorted(told)}; "
                "start as many nodes as there are clients"
            )
        return told


@cache
def _trainer(device: str) -> Trainer:
    """One for all turns: to make it takes longer than a short turn."""
    return Trainer(device=device, progress=False)


def _number(context: Context) -> int:
    if "partition-id" not in context.node_config:
        raise ValueError(
            f"node {context.node_id} has no partition-id, the number of its client; Flower's simulation sets it, "
            "a SuperNode is given it by --node-config"
        )
    return int(context.node_config["partition-id"])


def _arrays(weights: Mapping[str, Tensor]) -> ArrayRecord:
    """What travels; the mean of a counter would be none."""
    return ArrayRecord({key: value.detach().cpu() for key, value in weights.items() if value.is_floating_point()})


def _what_must_not_change(federation: Federation) -> dict[str, Any]:
    return {
        "config": federation.config,
        "clients": federation.clients,
        "rounds": federation.rounds,
        "per_round": federation.per_round,
        "seed": federation.seed,
        "network": {key: f"{list(value.shape)} {value.dtype}" for key, value in federation.weights.items()},
    }
