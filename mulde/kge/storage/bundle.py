"""Bundles: one model with all it needs, in a folder or a zip. Nothing in a bundle is unpickled.

    bundle.json                     the manifest: description, size and SHA-256 of every other file, its own checksum
    model.safetensors, model.json   the model as in a run folder, possibly quantised; or model.onnx
    entities.tsv, relations.tsv     names in the order of the ids
    known.npz                       all triples with their splits (`kge_data.packed`), if they may be passed on
    README.md                       the model card
    calibration.json                calibration of probabilities, if one was fitted to these weights
    rules.npy                       rules of the graph, if they were asked for (`mulde.kge.rules.storage`)
    coverage.json                   quantiles of answer sets with a coverage, if they were calibrated for these weights
    NOTICE                          text that the licence of the data requires

A bundle predicts, filters known answers and is evaluated without its data set; one without known.npz only predicts.
It is checked whole before it is used, in pieces, with sizes compared first; a zip is not extracted. This file imports
no torch, for `mulde.kge.inference.onnx_runtime`.

The manifest (format 2) holds ``format``, ``name``, ``kind`` ("model" or "onnx"), ``triples`` (false without known.npz),
``summary``, ``stored`` (precision of the tables), ``model``, ``data``, ``protocol``, ``graph_prior`` (whether
``metrics`` include it or masked self-loops), ``condition`` (which of them), ``metrics``, ``embeddings_only`` (metrics
without both; empty for ONNX), ``metrics_before`` (before quantisation), ``training``, ``versions``, ``files`` and
``checksum``. Metrics are by split and tie policy. Readers ignore other keys and files. The sizes of a model that
was trained at several are in ``model.model.dims``.
These optional keys are reserved:

    schema    version (int) of the conventions for the optional keys below
    lineage   checksums of the parents: a teacher's bundle, or the bundle that was updated
    types     name of a file with the types of entities (entity TAB type), "types.tsv" as `mulde pack --types` writes it
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kge_data import packed
from kge_data.entity_files import EntityTypes, types_in
from kge_data.errors import DataError
from kge_data.regular_files import read_limited
from kge_data.spelling import spelled_as
from kge_data.tripleset import SPLITS, TripleSet
from mulde import pretrained, schema
from mulde.errors import UsageError
from mulde.kge.storage.recommended import recommended
from mulde.kge.storage.sizes import refuse_other_sizes
from mulde.schema import contents
from mulde.storage import container
from mulde.storage.archive import DAMAGED, Checked
from mulde.storage.container import CARD, FORMAT, MANIFEST, NOTICE, Container, Contents, is_bundle, names, write
from mulde.storage.format import WEIGHTS
from mulde.storage.header import read_header

__all__ = ["CARD", "FORMAT", "MANIFEST", "NOTICE", "WEIGHTS", "Bundle", "is_bundle", "locate", "names", "read", "write"]


class Bundle(Container):
    """A checked bundle of a graph model."""

    def advice(self) -> str:
        """What to do with a bundle of the other kind."""
        if self.manifest["kind"] == "onnx":
            return "; it holds an ONNX model, which only `mulde predict` takes; give the original model"
        return "; `mulde export --to onnx` makes a bundle with an ONNX model"

    def graph(self) -> TripleSet:
        """The graph of the bundle, with names and all known triples; without triples if it was packed so."""
        wanted = (packed.ENTITIES, packed.RELATIONS, *([packed.KNOWN] if self.has_triples else ()))
        files = {name: self.file(name) for name in wanted}
        try:
            graph = packed.unpack(self.manifest["data"]["name"], files, triples=self.has_triples)
        except DataError as error:
            raise UsageError(f"{self.place}: {error}; {DAMAGED}") from error
        sizes, data = self.manifest["model"], self.manifest["data"]
        expected = [sizes["num_entities"], sizes["num_relations"]]
        found = [graph.num_entities, graph.num_relations]
        if self.has_triples:
            expected += [data[split] for split in SPLITS]
            found += [len(getattr(graph, split)) for split in SPLITS]
        if found != expected:
            raise UsageError(
                f"{self.place}: expected {expected} entities, relations and triples of train, valid and test as in "
                f"{MANIFEST}, found {found}; {DAMAGED}"
            )
        return graph

    def types(self, graph: TripleSet) -> EntityTypes | None:
        """The types of the entities; None if the bundle has none."""
        name = self.manifest.get("types")
        if name is None:
            return None
        if name not in self.names:
            raise UsageError(f"{self.place}: {MANIFEST} names types in {name}, which is missing; {DAMAGED}")
        try:
            return types_in(self.file(name).decode(errors="replace"), graph, f"{self.place / name}")
        except DataError as error:
            raise UsageError(f"{error}; {DAMAGED}") from error

    @property
    def has_triples(self) -> bool:
        """Whether the bundle contains the triples of its graph."""
        return bool(self.manifest.get("triples", True))


def locate(model: Path | str) -> Path:
    """Path of a model: the path itself, of a whole `mulde run` its recommended model, or a pretrained model by name."""
    path, models = Path(model), pretrained.paths()
    if path.exists():
        return recommended(path) or path
    return models.get(spelled_as(str(model), models) or "", path)


def file_of(model: Path | str, name: str) -> bytes | None:
    """Content of a JSON file in a run folder or a bundle; None if there is none."""
    place = locate(model)
    if is_bundle(place):
        found = read(place)
        return found.file(name) if name in found.names else None
    return read_limited(place / name, schema.LARGEST) if (place / name).exists() else None


def read(place: Path) -> Bundle:
    """Read the manifest of a bundle and check all its files.

    Raises
    ------
    UsageError
        If the path is no bundle, the format is another one, a file differs from its checksum, or the sizes of names,
        weights and manifest differ.
    """
    return Bundle(place, container.read(place, Contents(contents.MANIFEST, _required, _refuse_content)))


def _required(manifest: Mapping[str, Any]) -> list[str]:
    return [*contents.REQUIRED[manifest["kind"]], *([packed.KNOWN] if manifest.get("triples", True) else ())]


def _refuse_content(where: str, name: str, stream: Checked, manifest: Mapping[str, Any]) -> None:
    """Refuse a file that is too large for its kind, is not UTF-8, or whose sizes are not those in the manifest.

    Names are counted while their file is read for its checksum; of weights, the header is read.
    """
    sizes = manifest["model"]
    lines = {packed.ENTITIES: sizes["num_entities"], packed.RELATIONS: sizes["num_relations"]}.get(name)
    most = contents.MOST_BYTES.get(name)
    if name in ("calibration.json", "ranking.json"):
        most = contents.most_of_numbers(sizes["num_relations"])
    if name == contents.RULES:
        most = contents.most_of_rules(sizes["num_relations"])
    if name == "coverage.json":
        most = contents.most_of_quantiles(sizes["num_relations"])
    if name == manifest.get("types"):
        most = contents.most_of_names(sizes["num_entities"])
    if lines is not None:
        most = contents.most_of_names(lines)
    stream.refuse_above(most)
    if lines is not None and (found := sum(block.count(b"\n") for block in stream.blocks())) != lines:
        raise UsageError(f"{where}: expected {lines:,} names as in {MANIFEST}, found {found:,}; {DAMAGED}")
    if name in contents.JSON_FILES:
        schema.parse(stream.whole(), where, contents.JSON_FILES[name], DAMAGED)
    if name == WEIGHTS:
        refuse_other_sizes(read_header(stream, where), sizes, where)
