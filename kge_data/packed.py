"""A graph as three small files for a bundle: names as text, triples as compressed differences.

    entities.tsv    one line per entity in the order of the ids: identifier, and a readable name if there is one
    relations.tsv   the same for relations
    known.npz       three int32 arrays per split, over its triples sorted by relation, head and tail:
                    counts (r,), the number of triples of each relation;
                    heads (n,), the difference to the previous head, or the head itself if it is the relation's first;
                    tails (n,), the difference to the previous tail, or the tail itself if it is the query's first;
                    and checksum, that of the graph as uint8

Unpacked triples have this order; the checksum does not depend on it. The 310,116 triples of FB15k-237 take 0.6 MB.
"""

from __future__ import annotations

import io
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.errors import DataError
from kge_data.tripleset import SPLITS, TripleSet, escape, unescape

WHEN = (1980, 1, 1, 0, 0, 0)  # of every array in a file
ENTITIES, RELATIONS, KNOWN = "entities.tsv", "relations.tsv", "known.npz"
CHECKSUM = "checksum"  # of the graph, in KNOWN; files of earlier versions have none
CHECKSUM_FORM = f"sha256:{'0' * 64}"
UNLIMITED, RATIO = 8 << 20, 200  # larger arrays that are compressed further are refused; real graphs reach 10
FEW = 1 << 16  # triples that any graph may have, with repeated ones
BROKEN = (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError,
          RuntimeError, OverflowError, SyntaxError, tokenize.TokenError)  # fmt: skip

Ids = NDArray[np.int64]
Differences = NDArray[np.int32]


def pack(graph: TripleSet) -> dict[str, bytes]:
    """The content of the files, by name; equal graphs give equal bytes."""
    arrays: dict[str, Any] = {}
    for split in SPLITS:
        parts = _differences(getattr(graph, split), graph.num_relations)
        arrays |= {f"{split}.{name}": part.astype(np.int32) for name, part in parts.items()}
    arrays[CHECKSUM] = np.frombuffer(graph.checksum.encode(), dtype=np.uint8)
    return {
        ENTITIES: _lines(graph.entities, graph.entity_text),
        RELATIONS: _lines(graph.relations, graph.relation_text),
        KNOWN: _npz(arrays),
    }


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as numpy's compressed file; numpy itself writes other headers with another release of Python."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", WHEN), content.getvalue(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def unpack(name: str, files: Mapping[str, bytes], *, triples: bool = True) -> TripleSet:
    """The inverse of `pack`.

    Parameters
    ----------
    name
        Name of the graph.
    files
        Content of the files, by name; others are ignored.
    triples
        Whether there is a file of triples. Without it, the splits are empty.

    Returns
    -------
    TripleSet
        The graph; its checksum is that in the file, which is not computed again.

    Raises
    ------
    DataError
        If a file is missing or damaged.
    """
    checksum = None
    splits = [np.empty((0, 3), dtype=np.int64)] * len(SPLITS)
    try:
        entities, entity_text = _names(files[ENTITIES])
        relations, relation_text = _names(files[RELATIONS])
        if triples:
            splits, checksum = _splits(files[KNOWN], len(entities), len(relations))
        for part in splits:
            if (part < 0).any() or (part >= (len(entities), len(relations), len(entities))).any():
                raise ValueError("a triple has an entity or relation without a name")
    except BROKEN as error:
        raise DataError(
            f"{name}: expected {ENTITIES}, {RELATIONS} and {KNOWN} as `mulde pack` writes them; {error}"
        ) from error
    graph = TripleSet(name, splits[0], splits[1], splits[2], entities, relations, entity_text, relation_text)
    if checksum is not None:
        vars(graph)["checksum"] = checksum  # the place of the value of cached_property
    return graph


def _splits(content: bytes, num_entities: int, num_relations: int) -> tuple[list[Ids], str | None]:
    """Triples by split, and the graph's checksum if the file has it."""
    most = max(num_entities * num_entities * num_relations, FEW)  # different triples
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        if (size := sum(entry.file_size for entry in file.infolist())) > max(UNLIMITED, RATIO * len(content)):
            raise ValueError(f"{KNOWN} would expand from {len(content):,} to {size:,} bytes, more than {RATIO} times")
        splits = []
        for split in SPLITS:
            counts = _array(file, f"{split}.counts", num_relations, np.dtype(np.int32))
            number = int(counts.sum(dtype=np.int64))
            if (counts < 0).any() or number > most:
                raise ValueError(f"{split} has {number} triples, and {num_entities} entities have at most {most}")
            ids = (_array(file, f"{split}.{part}", number, np.dtype(np.int32)) for part in ("heads", "tails"))
            splits.append(_triples(counts, *ids))
        if f"{CHECKSUM}.npy" not in file.namelist():
            return splits, None
        checksum = _array(file, CHECKSUM, len(CHECKSUM_FORM), np.dtype(np.uint8)).tobytes().decode("ascii")
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", checksum):
            raise ValueError(f"{checksum!r} is no checksum")
        return splits, checksum


def _array(file: zipfile.ZipFile, name: str, length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A one-dimensional array of known length and type; its header is compared before it is expanded."""
    entry = file.getinfo(f"{name}.npy")
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is encrypted, or compressed in another way")
    with file.open(entry) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{name} is of another version of numpy's format")
        shape, _, found = np.lib.format.read_array_header_1_0(stream)
        size = entry.file_size - stream.tell()
        if (shape, found, size) != ((length,), dtype, length * dtype.itemsize):
            raise ValueError(f"{name} should hold {length} numbers of {dtype}, and holds {shape} of {found}")
        return np.frombuffer(stream.read(), dtype)


def _differences(triples: Ids, num_relations: int) -> dict[str, Ids]:
    heads, relations, tails = triples.T
    order = np.lexsort((tails, heads, relations))
    heads, relations, tails = heads[order], relations[order], tails[order]
    relation_begins, query_begins = _begins(relations), _begins(relations) | _begins(heads)
    return {
        "counts": np.bincount(relations, minlength=num_relations),
        "heads": np.where(relation_begins, heads, np.diff(heads, prepend=0)),
        "tails": np.where(query_begins, tails, np.diff(tails, prepend=0)),
    }


def _triples(counts: Differences, heads: Differences, tails: Differences) -> Ids:
    """Triples (n, 3) from counts (r,) and differences (n,); int32 is enough, and takes half the memory."""
    triples = np.empty((len(heads), 3), dtype=np.int64)
    relations = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    relation_begins = _begins(relations)
    heads = _sums(heads, relation_begins)
    triples[:, 0], triples[:, 1] = heads, relations
    triples[:, 2] = _sums(tails, relation_begins | _begins(heads))
    return triples


def _begins(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each value differs from the previous one; true for the first."""
    begins = np.ones(len(values), dtype=bool)
    begins[1:] = values[1:] != values[:-1]
    return begins


def _sums(differences: Differences, begins: NDArray[np.bool_]) -> Differences:
    """Running sums that start again at each true entry of `begins`."""
    sums = np.cumsum(differences, dtype=np.int32)  # may wrap around, and the differences of sums are right
    latest = np.maximum.accumulate(np.where(begins, np.arange(len(sums), dtype=np.int32), np.int32(0)))
    sums -= (sums - differences)[latest]
    return sums


def _lines(identifiers: Iterable[str], text: Mapping[int, str]) -> bytes:
    lines = [
        f"{escape(identifier)}\t{escape(text[number])}" if number in text else escape(identifier)
        for number, identifier in enumerate(identifiers)
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _names(content: bytes) -> tuple[tuple[str, ...], dict[int, str]]:
    rows = [line.split("\t") for line in content.decode().split("\n")[:-1]]
    identifiers = tuple(unescape(row[0]) for row in rows)
    return identifiers, {number: unescape(row[1]) for number, row in enumerate(rows) if len(row) > 1}
