"""Flower's grid without processes or network: clients in one process, one after the other."""

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
    """Clients of one process, which answer at once and one after the other."""

    def __init__(self, app: ClientApp, clients: int) -> None:
        _identify()
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
        return self.pull_messages(self.push_messages(messages))

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        replies = [self._app(message, self._contexts[message.metadata.dst_node_id]) for message in messages]
        names = [str(next(self._ids)) for _ in replies]
        self._waiting |= dict(zip(names, replies, strict=True))
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return [self._waiting.pop(name) for name in message_ids]

    def get_node_ids(self) -> Sequence[int]:
        return list(self._contexts)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl)

    def set_run(self, run: Any) -> None:
        self._run = run

    @property
    def run(self) -> Any:
        return self._run


def _identify() -> None:
    """Recent releases let a message be sent only by a process that has a place in a run; this one has none."""
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:
        return
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN, SERVER


@contextmanager
def quiet() -> Iterator[None]:
    """Lets Flower report errors only; it writes some twenty lines per round."""
    log = logging.getLogger("flwr")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
