"""Where the rules of a graph are kept: in a bundle that was packed with them, otherwise in the cache of graphs."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kge_data import cache
from kge_data.files import file_name
from kge_data.inverse import num_internal
from kge_data.keys import Ids
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.rules.mining import mine
from mulde.kge.rules.rule import LONGEST, NONE, Rules
from mulde.kge.storage import bundle
from mulde.kge.storage.graph import names_checksum
from mulde.schema.contents import RULES
from mulde.storage.archive import DAMAGED

FORMAT = 1  # to be increased when mining changes its results


def rules_of(graph: TripleSet, model: Path | str | None, seconds: float | None, tell: Callable[[str], object]) -> Rules:
    """The rules of a graph, mined at the first call.

    Parameters
    ----------
    graph
        The graph.
    model
        Model on disk; a bundle may contain the rules of its graph. None: a model in memory.
    seconds
        As for `mine`; another time than before mines again.
    tell
        Receives a sentence if rules are mined.

    Raises
    ------
    UsageError
        If the rules in a bundle are damaged.
    """
    found = None if model is None or seconds is not None else packed_rules(bundle.locate(model), graph)
    return _cached(graph, seconds, tell) if found is None else found


def packed_rules(place: Path, graph: TripleSet) -> Rules | None:
    """The rules in a bundle of this graph; None if there are none."""
    if not bundle.is_bundle(place):
        return None
    packed = bundle.read(place)
    if RULES not in packed.names or packed.manifest["data"]["checksum"] != graph.checksum:
        return None
    return from_file(packed.file(RULES), f"{place}/{RULES}", graph.num_relations)


def _cached(graph: TripleSet, seconds: float | None, tell: Callable[[str], object]) -> Rules:
    identity = f"rules {graph.checksum} {names_checksum(graph)}"

    def build() -> Rules:
        began = time.monotonic()
        rules = mine(graph, seconds)
        tell(f"mined {len(rules):,} rules of {graph.name} in {time.monotonic() - began:.1f} s; they are kept")
        return rules

    return cache.kept(
        f"{file_name(graph.name)}-rules", identity, json.dumps([FORMAT, identity, seconds]), build,
        lambda rules: {"rules": rules.table},
        lambda arrays: Rules(checked(arrays["rules"], graph.num_relations)),
        what="file of rules", again="they are mined again",
    )  # fmt: skip


def as_file(rules: Rules) -> bytes:
    """Content of ``rules.npy`` in a bundle: the table of `Rules`."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, rules.table, (1, 0))
    return stream.getvalue()


def from_file(content: bytes, where: str, num_relations: int) -> Rules:
    """The inverse of `as_file`; raises UsageError for a damaged file."""
    stream = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("it is of another version of numpy's format")
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
        rest = content[stream.tell() :]
        if dtype != np.int64 or by_column or len(shape) != 2 or 8 * shape[0] * shape[1] != len(rest):
            raise ValueError(f"it holds {len(rest)} bytes, and its header says {shape} of {dtype}")
        return Rules(checked(np.frombuffer(rest, dtype=np.int64).reshape(shape), num_relations))
    except (ValueError, SyntaxError, TypeError) as error:
        raise UsageError(f"{where}: expected the rules of a graph, but {error}; {DAMAGED}") from error


def checked(table: Ids, num_relations: int) -> Ids:
    """A table of rules; raises ValueError for one that is none of a graph with so many relations."""
    if table.ndim != 2 or table.shape[1] != Rules.COLUMNS or table.dtype != np.int64:
        raise ValueError(f"it has another form: {table.shape} of {table.dtype}")
    relation, body, (support, pairs, answered) = table[:, 0], table[:, 1 : 1 + LONGEST], table[:, 1 + LONGEST :].T
    ends = np.cumsum(body == NONE, axis=1)
    known = (relation >= 0) & (relation < num_relations) & (body >= NONE).all(1)
    known &= (body < num_internal(num_relations)).all(1) & (body[:, 0] >= 0) & ((ends == 0) == (body >= 0)).all(1)
    if not (known & (support > 0) & (support <= answered) & (answered <= pairs)).all():
        raise ValueError("a rule has unknown relations or impossible counts")
    return table
