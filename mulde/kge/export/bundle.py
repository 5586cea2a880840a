"""A trained model -> a bundle: weights, names, known answers, what it was measured at, and a model card.

    original = Original.open("runs/umls/run/junior")
    packed = pack(original, "umls-8", "float16")
    packed.write(Path("umls-8.zip"))

What the card says was measured on what is in the bundle: the tables are written, read again and ranked. Where they
were rounded, the model as it was trained is ranked as well, and both figures are kept.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors.torch import load

from kge_data import packed
from kge_data.filters import KnownAnswers
from kge_data.published import catalogue
from kge_data.published.record import PublishedSet
from kge_data.tripleset import SPLITS, TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation import calibration
from mulde.kge.evaluation.link_prediction import Ranker, evaluate, known_answers
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage import bundle
from mulde.kge.storage.model_card import card
from mulde.kge.storage.quantisation import Stored, widen
from mulde.kge.storage.run_folder import DESCRIPTION, WEIGHTS, describe, fill, graph_of, model_files, open_model
from mulde.metrics.ranks import Policy

POLICIES: tuple[Policy, ...] = ("realistic", "optimistic", "pessimistic")
MEASURED = ("valid", "test")
Metrics = dict[str, dict[str, dict[str, float]]]  # split -> tie policy -> metric -> value


@dataclass(frozen=True)
class Original:
    """A model that is to be packed, with its graph and its description."""

    place: Path
    model: KGEModel
    graph: TripleSet
    description: dict[str, Any]

    @classmethod
    def open(cls, model: Path | str, data: str | None = None) -> Original:
        """From a run folder, a bundle or the box; ``data`` names the graph where it has moved.

        Raises UsageError where there is no model, or the graph is not the one it was trained on.
        """
        description, graph = describe(model), graph_of(model, data)
        opened = open_model(model, graph)
        if graph.checksum != description["data"]["checksum"]:
            raise UsageError(
                f"{graph.name} has the names, but not the triples that {model} was trained on, so its known answers "
                "would be others; name the right graph with --data"
            )
        return cls(bundle.locate(model), opened, graph, description)

    @cached_property
    def known(self) -> KnownAnswers:
        """The filter of the graph."""
        return known_answers(self.graph)

    @cached_property
    def metrics(self) -> Metrics:
        """What the model reaches as it is."""
        return self.measure(self.model)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the bundle it comes from; empty for a run folder."""
        return bundle.read(self.place).manifest if bundle.is_bundle(self.place) else {}

    def measure(self, ranker: Ranker) -> Metrics:
        """Link prediction on valid and test, filtered, both directions, by all tie policies."""
        found: Metrics = {}
        for split in MEASURED:
            if len(getattr(self.graph, split)):
                result = evaluate(ranker, self.graph, split, self.known)
                found[split] = {policy: result.metrics(policy) for policy in POLICIES}
        return found


@dataclass(frozen=True)
class Packed:
    """A bundle that is not written yet."""

    manifest: dict[str, Any]
    files: dict[str, bytes]

    def loss(self, split: str) -> float:
        """Realistic MRR lost on a split by what was done to the model; negative where it gained."""
        before, after = self.manifest["metrics_before"], self.manifest["metrics"]
        return float(before[split]["realistic"]["mrr"] - after[split]["realistic"]["mrr"])

    def refuse_above(self, most: float | None) -> None:
        """Raises UsageError where the MRR lost on valid (test where there is no valid) is more than ``most``."""
        split = next(iter(self.manifest["metrics"]), None)
        if most is not None and split is not None and self.loss(split) > most:
            raise UsageError(
                f"{self.manifest['stored']} loses {self.loss(split):.4f} of the {split} MRR "
                f"({self.manifest['metrics_before'][split]['realistic']['mrr']:.4f} to "
                f"{self.manifest['metrics'][split]['realistic']['mrr']:.4f}), more than --max-loss {most:g}; nothing "
                "was written; allow more, or keep more bits"
            )

    def write(self, place: Path) -> None:
        """Write it, whole or not at all; a zip where the path ends in .zip, a folder otherwise."""
        bundle.write(place, self.manifest, self.files)


def pack(original: Original, name: str, stored: Stored | None = None, licence: str | None = None) -> Packed:
    """The model as a bundle; ``stored``: with fewer bits; ``licence``: of data that are not a published graph."""
    model, graph = original.model, original.graph
    files = model_files(model, graph, graph.name, stored)
    metrics = original.metrics
    if stored not in (None, model.config.dtype):
        again = KGEModel(model.scorer, model.num_entities, model.num_relations, model.config)
        fill(again, widen(load(files[WEIGHTS])), graph.train)
        metrics = original.measure(again.eval())
    fitted = calibration.calibration_file(original.place)
    if fitted is not None and json.loads(files[DESCRIPTION])["weights"] == original.description["weights"]:
        files[calibration.FILE] = fitted  # fewer bits are other weights, and would want one of their own
    return assemble(original, name, "model", stored or model.config.dtype, files, metrics, licence)


def assemble(
    original: Original, name: str, kind: str, stored: str, files: Mapping[str, bytes], metrics: Metrics,
    licence: str | None = None,
) -> Packed:  # fmt: skip
    """A bundle of these files with all that belongs to any bundle: names, known answers, manifest and card."""
    graph, description = original.graph, original.description
    test = f": test MRR {metrics['test']['realistic']['mrr']:.4f}" if "test" in metrics else ""
    manifest = {
        "name": name,
        "kind": kind,
        "summary": f"{description['scorer']}, {description['model']['dim']} dimensions, {stored}, {graph.name}{test}",
        "stored": stored,
        "model": {key: description[key] for key in ("scorer", "model", "num_entities", "num_relations", "parameters")},
        "data": {
            "name": graph.name,
            "checksum": graph.checksum,
            **{split: len(getattr(graph, split)) for split in SPLITS},
            **_rights(original, licence),
        },
        "protocol": "filtered by train, valid and test; both directions",
        "metrics": metrics,
        "metrics_before": original.metrics,
        "training": original.manifest.get("training") or _training(original.place),
        "versions": {package: importlib.metadata.version(package) for package in ("mulde", "torch", "numpy")},
    }
    notice = _notice(original)
    own = {bundle.CARD: card(manifest, graph).encode(), **({bundle.NOTICE: notice} if notice else {})}
    return Packed(manifest, {**files, **packed.pack(graph), **own})


def _rights(original: Original, licence: str | None) -> dict[str, str]:
    """Citation and licence of the data: of the published graph with this checksum, or what was said of it."""
    published = _published(original.graph)
    before = original.manifest.get("data", {})
    return {
        "citation": published.citation if published else before.get("citation", "none known"),
        "licence": licence or (published.licence if published else before.get("licence", "not stated")),
    }


def _notice(original: Original) -> bytes:
    """The notice of the published graph, or of the bundle that is packed anew."""
    published = _published(original.graph)
    if published is not None:
        return catalogue.notice(published.name).encode()
    return bundle.read(original.place).files.get(bundle.NOTICE, b"") if original.manifest else b""


def _published(graph: TripleSet) -> PublishedSet | None:
    records = map(catalogue.record, catalogue.names())
    return next((record for record in records if record.checksum == graph.checksum), None)


def _training(run: Path) -> dict[str, Any]:
    """Settings and course of the fit in a run folder; empty where it has none."""
    found: dict[str, Any] = {}
    for name, keys in (("config", ("config", "fit", "seed", "optimizers")), ("record", ("epochs", "best_epoch"))):
        path = run / f"fit/{name}.json"
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            found |= {key if name == "config" else f"record.{key}": content[key] for key in keys if key in content}
    return found
