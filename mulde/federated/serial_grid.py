"""A Flower grid without processes or network: clients in this process, one after the other."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

RUN, SERVER = 1, 1  # Flower's numbers of a run and of the server's node


class SerialGrid(Grid):  # type: ignore[misc]
    """Clients in this process, which reply at once and one after the other. Used inside `in_process()`.

    Parameters
    ----------
    app
        The clients' side.
    clients
        How many clients there are.
    """

    def __init__(self, app: ClientApp, clients: int) -> None:
        self._app, self._waiting, self._ids = app, dict[str, Message](), itertools.count()
        self._contexts = {
            client + 2: Context(  # 1 is the server
                run_id=RUN,
                node_id=client + 2,
                node_config={"partition-id": client, "num-partitions": clients},
                state=RecordDict(),
                run_config={},
            )
            for client in range(clients)
        }

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Replies to messages, in the same order."""
        return self.pull_messages(self.push_messages(messages))

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Deliver messages to clients; returns an id for each reply."""
        replies = [self._app(message, self._contexts[message.metadata.dst_node_id]) for message in messages]
        names = [str(next(self._ids)) for _ in replies]
        self._waiting |= dict(zip(names, replies, strict=True))
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The replies with these ids."""
        return [self._waiting.pop(name) for name in message_ids]

    def get_node_ids(self) -> Sequence[int]:
        """Node of every client."""
        return list(self._contexts)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """A message to a node."""
        return Message(content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl)

    def set_run(self, run: Any) -> None:
        """Set Flower's description of the run."""
        self._run = run

    @property
    def run(self) -> Any:
        """Flower's description of the run."""
        return self._run


@contextmanager
def in_process() -> Iterator[None]:
    """Let this process send Flower's messages, and limit Flower's log to errors. Both are restored, also on errors."""
    log = logging.getLogger("flwr")
    level = log.level
    log.setLevel(logging.ERROR)  # it writes some twenty lines per round
    try:
        with _identity():
            yield
    finally:
        log.setLevel(level)


@contextmanager
def _identity() -> Iterator[None]:
    """Recent releases of Flower let a process send messages only if it has a task in a run."""
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:  # older releases
        yield
        return
    before = TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN, SERVER
    try:
        yield
    finally:
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = before
