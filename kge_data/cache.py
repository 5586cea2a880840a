"""A cache of parsed graphs, and of what is computed from graphs: the next load of the same files is fast.

One .npz file per graph or result in KGE_DATA_CACHE, or else in XDG_CACHE_HOME/kge_data, or else in ~/.cache/kge_data. A
graph is valid while size and time of every source file are unchanged. A damaged file is replaced with a warning, and a
cache that cannot be written is not an error. The files together are limited to KGE_DATA_CACHE_GB gigabytes, by default
2; the least recently used ones are removed first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kge_data.errors import DataError
from kge_data.files import checked_zip, make_folder, user_path, written_atomically
from kge_data.limits import limit
from kge_data.printing import one_line
from kge_data.reading import Reading
from kge_data.tripleset import SPLITS, TripleSet, escape, unescape

FORMAT = 4  # to be increased when reading or splitting changes its results
SHOWN = 120  # characters of a reason
MIN_BYTES = 1 << 20  # smaller graphs are parsed as fast as they are read from the cache

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]


def directory() -> Path:
    """The folder of the cache; it is not created.

    Raises
    ------
    DataError
        If there is no home directory and no variable that names a folder.
    """
    if chosen := os.environ.get("KGE_DATA_CACHE"):
        return user_path(chosen)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "kge_data"
    try:
        return Path.home() / ".cache/kge_data"
    except RuntimeError as error:
        raise DataError("there is no home directory to keep graphs in; set KGE_DATA_CACHE to a folder") from error


def cached(name: str, files: Sequence[Path], variant: str, build: Callable[[], TripleSet]) -> TripleSet:
    """The graph that `build` returns, from the cache if the files are unchanged.

    Parameters
    ----------
    name
        Name of the graph.
    files
        All files that `build` reads; the first one distinguishes graphs with the same name.
    variant
        What else the result depends on, such as the seed of a split.
    build
        Parses the files.

    Returns
    -------
    TripleSet
        The graph.
    """
    files = [path.resolve() for path in files]
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    if sum(size for _, size, _ in states) < MIN_BYTES:
        return build()
    identity = json.dumps([name, variant, str(files[0])])
    stamp = json.dumps([FORMAT, identity, states])
    again = "it is read from its files again"
    return kept(
        name, identity, stamp, build, _arrays, lambda arrays: _unpacked(arrays, name), what="graph", again=again
    )


def kept(
    name: str,
    identity: str,
    stamp: str,
    build: Callable[[], T],
    pack: Callable[[T], Arrays],
    unpack: Callable[[Arrays], T],
    *,
    what: str,
    again: str,
) -> T:
    """The result that `build` returns, from the cache if it is there.

    Parameters
    ----------
    name
        Beginning of the file's name.
    identity
        Distinguishes results with the same name; a new result replaces the file of the old one.
    stamp
        All that the result depends on. A file with another stamp is of no use.
    build
        Makes the result.
    pack, unpack
        Turn the result into arrays and back.
    what, again
        For the warning about a damaged file: what it holds, and what happens.
    """
    try:
        path = directory() / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"
    except DataError:  # without a home directory there is no cache
        return build()
    most = limit("KGE_DATA_CACHE_GB") * 1e9
    found = _read(path, stamp, unpack, what, again)
    if found is not None:
        with contextlib.suppress(OSError):
            os.utime(path)  # the time of its last use
        return found
    result = build()
    with contextlib.suppress(OSError):
        _write(path, {**pack(result), "stamp": _pack([stamp])})
        _prune(most)
    return result


def _prune(most: float) -> None:
    """Remove the least recently used files until the others have at most this many bytes."""
    states = sorted(((path.stat(), path) for path in directory().glob("*.npz")), key=lambda each: -each[0].st_mtime_ns)
    total = 0
    for state, path in states:
        total += state.st_size
        if total > most:
            path.unlink(missing_ok=True)


def _arrays(triples: TripleSet) -> dict[str, NDArray[Any]]:
    ids = np.int32 if triples.num_entities < 2**31 else np.int64
    arrays: dict[str, NDArray[Any]] = {split: getattr(triples, split).astype(ids) for split in SPLITS}
    for kind, text in (("entity_text", triples.entity_text), ("relation_text", triples.relation_text)):
        arrays[f"{kind}_ids"], arrays[kind] = np.array(list(text), dtype=np.int64), _pack(text.values())
    arrays |= {"entities": _pack(triples.entities), "relations": _pack(triples.relations)}
    if triples.reading is not None:
        arrays["reading"] = _pack([json.dumps(triples.reading.as_dict())])
    return arrays | {"checksum": _pack([triples.checksum])}


def _write(path: Path, arrays: Arrays) -> None:
    make_folder(path.parent)
    with written_atomically(path) as stream:
        np.savez(stream, **dict[str, Any](arrays))


def _read(path: Path, stamp: str, unpack: Callable[[Arrays], T], what: str, again: str) -> T | None:
    """What is in the cache; None if the file is missing, has another stamp, or is damaged, which gives a warning."""
    try:
        with checked_zip(path) as stream, np.load(stream, allow_pickle=False) as stored:
            return unpack(stored) if _unpack(stored["stamp"]) == [stamp] else None
    except OSError:
        return None
    except Exception as error:  # damage to a zip file of arrays can cause any
        reason = one_line(" ".join(str(error).split())[:SHOWN]) or type(error).__name__
        warnings.warn(f"{path}: the cached {what} is damaged ({reason}); {again}.", stacklevel=3)
        return None


def _unpacked(stored: Arrays, name: str) -> TripleSet:
    train, valid, test = (stored[split].astype(np.int64) for split in SPLITS)
    entities, relations = (tuple(_unpack(stored[kind])) for kind in ("entities", "relations"))
    entity_text, relation_text = (
        dict(zip(stored[f"{kind}_ids"].tolist(), _unpack(stored[kind]), strict=True))
        for kind in ("entity_text", "relation_text")
    )
    reading = Reading.from_dict(json.loads(_unpack(stored["reading"])[0])) if "reading" in stored else None
    triples = TripleSet(name, train, valid, test, entities, relations, entity_text, relation_text, reading)
    vars(triples)["checksum"] = _unpack(stored["checksum"])[0]  # the place of the value of cached_property
    return triples


def _pack(labels: Iterable[str]) -> NDArray[np.uint8]:
    return np.frombuffer("".join(escape(label) + "\n" for label in labels).encode(), dtype=np.uint8)


def _unpack(packed: NDArray[np.uint8]) -> list[str]:
    lines = packed.tobytes().decode().split("\n")[:-1]
    return [unescape(line) for line in lines]
