"""Training a method in rounds over many clients, with Flower.

    server ──weights──▶ each client of the round: build a method from them, train it ──weights, examples──▶ mean

In every round a client builds its method from the weights it receives, so what depends on them (a frozen copy, for
example) is an argument of the constructor. Clients keep no state between rounds. So a checkpoint is the weights after a
round, its number and the figures so far, and an interrupted federation repeats the round it was in, with the same
result.

`federate` runs the clients one after the other in this process. `client_app` and `server_app` are the same two sides
for Flower's own runtimes (`flwr run`, its simulation); they give the same weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mulde.engine.checkpoint import RunFolder
from mulde.engine.device import Device
from mulde.engine.feed import Feed
from mulde.engine.learning import OptimizerFactory
from mulde.engine.method import Method
from mulde.engine.progress import log_evaluation, progress_bar
from mulde.engine.provenance import fit_environment
from mulde.engine.record import Record
from mulde.engine.trainer import Trainer
from mulde.errors import UsageError, missing
from mulde.files import write_atomically

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # process-wide: Flower reads it at its import
try:
    from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg

    from mulde.federated.serial_grid import SerialGrid, in_process
except ImportError as error:
    raise missing("federated rounds are run by Flower", "federated") from error

Weights = dict[str, Tensor]
"""Name -> value, as in a state dict."""
TRAIN, QUERY = "train", "query"
TIMEOUT = 600.0
"""Seconds to wait for all clients."""


@dataclass(frozen=True)
class Turn:
    """One client in one round."""

    client: int
    """Number of the client, from 0."""
    round: int
    """Number of the round, from 1."""
    seed: int
    """Seed of this client in this round: 24 bits, the same for all methods."""


@dataclass(frozen=True)
class Visit:
    """The training of a client in one round."""

    method: Method
    """Built from the weights received."""
    network: nn.Module
    """The part of the method whose weights are exchanged."""
    feed: Feed
    """Batches of the client."""
    examples: int
    """Number of examples: the weight of this client in the mean."""
    epochs: int
    """Passes over the feed."""
    optimizers: OptimizerFactory | Mapping[str, OptimizerFactory]
    """As in `Trainer`; made anew in every round."""
    measure: Callable[[], Mapping[str, float]] = dict
    """Figures of the client after training; the server averages them like the weights."""


@dataclass(frozen=True)
class Federation:
    """Clients, rounds and initial weights of a federated training.

    Raises
    ------
    UsageError
        For impossible numbers.
    """

    begin: Callable[[Turn, Weights], Visit]
    """A turn and the weights received -> the client's training. Its only random numbers come from the turn's seed."""
    weights: Weights
    """Weights of the network before the first round. Values that are not floating point (counters) do not change."""
    clients: int
    """Number of clients."""
    rounds: int
    """Number of rounds."""
    per_round: int | None = None
    """Clients drawn for a round; None: all."""
    evaluate: Callable[[Weights, int], Mapping[str, float]] | None = None
    """The mean weights and the number of the round -> figures, after every round."""
    seed: int = 0
    """Seed of the drawn clients and of their turns."""
    device: str = "cpu"
    """Device of the clients."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings that are compared when a federation is continued."""

    def __post_init__(self) -> None:
        if not 1 <= (self.per_round or 1) <= self.clients or self.rounds < 1:
            raise UsageError(
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
    """Result of a federation."""

    weights: Weights
    """Mean weights after the last round."""
    history: list[dict[str, float]]
    """One entry per round: the mean of the clients' figures, and those of `evaluate`."""
    record: Record
    """Summary of the rounds."""


def federate(
    federation: Federation,
    folder: Path | None = None,
    name: str = "rounds",
    *,
    budget_seconds: float | None = None,
    bar: bool | None = False,
) -> Outcome:
    """Run all rounds in this process.

    Parameters
    ----------
    federation
        Clients and rounds.
    folder, name, budget_seconds, bar
        As for `serve`.

    Returns
    -------
    Outcome
        Weights and figures.

    Raises
    ------
    UsageError
        If this is one of several processes.
    """
    if (processes := _trainer(federation.device).device.processes) > 1:
        raise UsageError(
            f"rounds are run in one process, here are {processes}; start one, or give clients processes of their own "
            "with Flower (`client_app`, `server_app`)"
        )
    with in_process():
        return serve(
            federation, SerialGrid(client_app(federation), federation.clients), folder, name, budget_seconds, bar
        )


def client_app(federation: Federation) -> ClientApp:
    """The clients' side for a Flower runtime.

    The number of a client is the `partition-id` of its node, which Flower's simulation sets.
    """
    app = ClientApp()

    @app.query()  # type: ignore[untyped-decorator]
    def number(message: Message, context: Context) -> Message:
        return Message(RecordDict({"number": MetricRecord({"client": _number(context)})}), reply_to=message)

    @app.train()  # type: ignore[untyped-decorator]
    def train(message: Message, context: Context) -> Message:
        turn = federation.turn(_number(context), int(message.content["config"]["server-round"]))
        visit = federation.begin(turn, federation.weights | message.content["arrays"].to_torch_state_dict())
        trainer = _trainer(federation.device)
        trainer.optimizers, trainer.seed = visit.optimizers, turn.seed
        trainer.fit(visit.method, visit.feed, epochs=visit.epochs, name=None)  # saved by rounds
        found = {"num-examples": visit.examples, **visit.measure()}
        content = {"arrays": _arrays(visit.network.state_dict()), "metrics": MetricRecord(found)}
        return Message(RecordDict(content), reply_to=message)

    return app


def server_app(
    federation: Federation,
    done: Callable[[Outcome], object],
    folder: Path | None = None,
    name: str = "rounds",
) -> ServerApp:
    """The server's side for a Flower runtime. `done` is called with the outcome; folder and name as for `serve`."""
    app = ServerApp()

    @app.main()  # type: ignore[untyped-decorator]
    def main(grid: Grid, context: Context) -> None:
        done(serve(federation, grid, folder, name))

    return app


def serve(
    federation: Federation,
    grid: Grid,
    folder: Path | None = None,
    name: str = "rounds",
    budget_seconds: float | None = None,
    bar: bool | None = False,
) -> Outcome:
    """Run all rounds with Flower's FedAvg on any grid.

    Parameters
    ----------
    federation
        Clients and rounds.
    grid
        Flower's connection to the clients.
    folder, name
        Every round is saved in folder/name/. A finished federation is loaded from there, an unfinished one continued.
        None writes no files.
    budget_seconds
        Time after which no further round begins; the same call with more time continues.
    bar
        Show a progress bar; None: in terminals and notebooks only.

    Returns
    -------
    Outcome
        Weights and figures.

    Raises
    ------
    ConfigurationChanged
        If a federation of this name was started with other settings.
    """
    place = None if folder is None else RunFolder(folder / name)
    weights, history, seconds = federation.weights, list[dict[str, float]](), 0.0
    if place is not None:
        place.begin(_what_must_not_change(federation), fit_environment(Device(federation.device), federation.seed))
        record = place.record()
        if record is not None and not _continues(record, budget_seconds):
            return Outcome(place.final_weights(), place.lines(), replace(record, reused=True))
        if (state := place.load()) is not None:
            weights, history, seconds = state["weights"], state["history"], state["seconds"]
    started, done, stopped_by = time.monotonic() - seconds, len(history), "rounds"
    strategy = Rounds(federation, done)

    def end_of_round(passed: int, arrays: ArrayRecord) -> None:
        nonlocal weights
        if not passed:  # Flower also calls it before the first round
            return
        weights = federation.weights | arrays.to_torch_state_dict()
        found = {} if federation.evaluate is None else federation.evaluate(weights, done + passed)
        figures = {key: float(value) for key, value in {**strategy.measured, **found}.items()}
        history.append({"round": done + passed, **figures})
        seconds = time.monotonic() - started
        if place is not None:
            write_atomically(place.log, "".join(f"{json.dumps(entry)}\n" for entry in history).encode())
            place.save({"weights": weights, "history": history, "seconds": seconds})
        shown.update()
        shown.set_postfix({key: value for key, value in figures.items() if "/" not in key})
        if figures:
            log_evaluation(name, done + passed, figures, next(iter(found), None), None, "round")
        if budget_seconds is not None and seconds >= budget_seconds and len(history) < federation.rounds:
            raise _TimeIsUp

    with progress_bar(name, federation.rounds, done, bar, " rounds") as shown:
        try:
            strategy.start(grid, _arrays(weights), federation.rounds - done, evaluate_fn=end_of_round)
        except _TimeIsUp:
            stopped_by = "budget"
    seconds = time.monotonic() - started
    record = Record(name, True, stopped_by, epochs=len(history), seconds=seconds, metrics=history[-1])
    if place is not None:
        place.finish(record, weights)
    return Outcome(weights, history, record)


class _TimeIsUp(Exception):
    """Ends Flower's loop over the rounds."""


def _continues(record: Record, budget_seconds: float | None) -> bool:
    """Whether rounds that a budget stopped are continued with this one."""
    return record.stopped_by == "budget" and (budget_seconds is None or budget_seconds > record.seconds)


class Rounds(FedAvg):  # type: ignore[misc]
    """Flower's FedAvg, with clients drawn and summed by their numbers, not by nodes or the order of replies."""

    def __init__(self, federation: Federation, done: int) -> None:
        super().__init__(fraction_evaluate=0.0)
        self.federation, self.done = federation, done
        self.node: dict[int, int] = {}
        self.measured: dict[str, float] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self.node = self.node or self._nodes(grid)
        number = self.done + server_round
        content = RecordDict({"arrays": arrays, "config": ConfigRecord({**config, "server-round": number})})
        self.cohort = self.federation.cohort(number)
        return [Message(content, dst_node_id=self.node[client], message_type=TRAIN) for client in self.cohort]

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[Any, Any]:
        found = {message.metadata.src_node_id: message for message in replies}
        failed = [message.error.reason for message in found.values() if message.has_error()]
        if failed or len(found) < len(self.cohort):
            raise RuntimeError(
                f"round {self.done + server_round}: {len(found) - len(failed)} of {len(self.cohort)} clients "
                f"sent weights; {failed[0] if failed else 'the others did not reply in time'}"
            )
        in_order = [found[self.node[client]] for client in self.cohort]
        mean, metrics = super().aggregate_train(server_round, in_order)
        self.measured = dict(metrics)
        return mean, metrics

    def _nodes(self, grid: Grid) -> dict[int, int]:
        """Number of every client -> its node."""
        clients = self.federation.clients
        begin = time.monotonic()
        while len(nodes := list(grid.get_node_ids())) < clients:
            if time.monotonic() - begin > TIMEOUT:
                raise TimeoutError(
                    f"{len(nodes)} of {clients} clients have connected in {TIMEOUT:g} seconds; start the others"
                )
            time.sleep(0.5)
        queries = [Message(RecordDict(), dst_node_id=node, message_type=QUERY) for node in nodes]
        replies = list(grid.send_and_receive(queries))
        if failed := [reply.error.reason for reply in replies if reply.has_error()]:
            raise RuntimeError(f"{len(failed)} of {len(nodes)} clients did not send their number; {failed[0]}")
        found = {int(reply.content["number"]["client"]): reply.metadata.src_node_id for reply in replies}
        if sorted(found) != list(range(clients)):
            raise UsageError(
                f"expected {clients} clients, numbered from 0 by `partition-id`; got {sorted(found)}; "
                "start as many nodes as there are clients"
            )
        return found


@cache
def _trainer(device: str) -> Trainer:
    """One trainer for all turns: making it takes longer than a short turn."""
    return Trainer(device=device, progress=False)


def _number(context: Context) -> int:
    if "partition-id" not in context.node_config:
        raise UsageError(
            f"node {context.node_id} has no partition-id, the number of its client; Flower's simulation sets it, "
            "for a SuperNode give it with --node-config"
        )
    return int(context.node_config["partition-id"])


def _arrays(weights: Mapping[str, Tensor]) -> ArrayRecord:
    """The values that are exchanged: counters have no mean."""
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
