"""Parsed text kept as arrays, so that the next load of the same files takes a moment.

One .npz per graph in KGE_DATA_CACHE, or else in XDG_CACHE_HOME/kge_data, or else in ~/.cache/kge_data. It is
used only while size and time of every file it was made from are unchanged; anything wrong with it means
parsing again, and where it cannot be written, nothing is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kge_data.tripleset import SPLITS, TripleSet, escape, unescape

FORMAT = 2  # to be raised when reading or splitting changes its results
SMALLEST = 1 << 20  # bytes of text; below it parsing is as fast as the cache


def directory() -> Path:
    """The folder of the cache; it may not exist."""
    if chosen := os.environ.get("KGE_DATA_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kge_data"


def cached(name: str, files: Sequence[Path], variant: str, build: Callable[[], TripleSet]) -> TripleSet:
    """What `build` returns, from the cache when the files have not changed since.

    Args:
        name: of the graph.
        files: everything that `build` reads; the first one tells graphs of one name apart.
        variant: what else the result depends on, such as the seed of a split.
    """
    files = [path.resolve() for path in files]
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    if sum(size for _, size, _ in facts) < SMALLEST:
        return build()
    identity = json.dumps([name, variant, str(files[0])])
    stamp = json.dumps([FORMAT, identity, facts])
    path = directory() / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"
    triples = _read(path, name, stamp)
    if triples is None:
        triples = build()
        with contextlib.suppress(OSError):
            _write(path, triples, stamp)
    return triples


def _write(path: Path, triples: TripleSet, stamp: str) -> None:
    """All or nothing: a file beside it first, then renamed."""
    ids = np.int32 if triples.num_entities < 2**31 else np.int64
    arrays = {split: getattr(triples, split).astype(ids) for split in SPLITS}
    for kind, text in (("entity_text", triples.entity_text), ("relation_text", triples.relation_text)):
        arrays[f"{kind}_ids"], arrays[kind] = np.array(list(text), dtype=np.int64), _pack(text.values())
    arrays |= {"entities": _pack(triples.entities), "relations": _pack(triples.relations)}
    arrays |= {"stamp": _pack([stamp]), "checksum": _pack([triples.checksum])}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".partial")
    beside = Path(partial)
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink()
        raise


def _read(path: Path, name: str, stamp: str) -> TripleSet | None:
    """None where there is no cache, or not of these files, or a damaged one."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            if _unpack(stored["stamp"]) != [stamp]:
                return None
            train, valid, test = (stored[split].astype(np.int64) for split in SPLITS)
            entities, relations = (tuple(_unpack(stored[kind])) for kind in ("entities", "relations"))
            entity_text, relation_text = (
                dict(zip(stored[f"{kind}_ids"].tolist(), _unpack(stored[kind]), strict=True))
                for kind in ("entity_text", "relation_text")
            )
            triples = TripleSet(name, train, valid, test, entities, relations, entity_text, relation_text)
            # where cached_property looks before it computes
            vars(triples)["checksum"] = _unpack(stored["checksum"])[0]
            return triples
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return None


def _pack(labels: Iterable[str]) -> NDArray[np.uint8]:
    return np.frombuffer("".join(escape(label) + "\n" for label in labels).encode(), dtype=np.uint8)


def _unpack(packed: NDArray[np.uint8]) -> list[str]:
    lines = packed.tobytes().decode().split("\n")[:-1]
    return [unescape(line) for line in lines]
