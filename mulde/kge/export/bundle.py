"""Bundles of trained models: weights, names, known answers, metrics and a model card.

    original = Original.open("runs/umls")
    packed = pack(original, "umls-8", "float16")
    packed.write(Path("umls-8.zip"))

Metrics are measured on the content of the bundle. If its tables were rounded, the original model is ranked as well,
and both results are kept.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kge_data import packed
from kge_data.entity_files import EntityTypes, read_types
from kge_data.filters import KnownAnswers
from kge_data.printing import printable
from kge_data.published import catalogue
from kge_data.published.record import PublishedSet
from kge_data.tripleset import SPLITS, TripleSet
from mulde import schema
from mulde.errors import UsageError
from mulde.files import utf8
from mulde.kge.evaluation import coverage
from mulde.kge.evaluation.cache import condition
from mulde.kge.evaluation.calibration import FILE, Calibration, as_file, open_calibration
from mulde.kge.evaluation.coverage_fit import fit_coverage
from mulde.kge.evaluation.link_prediction import POLICIES, Ranker, evaluate, known_answers, uses_graph
from mulde.kge.inference.probability import fit
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.rules.rule import Rules
from mulde.kge.rules.storage import as_file as rules_file
from mulde.kge.storage import bundle
from mulde.kge.storage.graph import Tell, refuse_no_triples, warn
from mulde.kge.storage.model_card import card
from mulde.kge.storage.quantisation import Stored
from mulde.kge.storage.run_folder import (
    DESCRIPTION,
    WEIGHTS,
    describe,
    graph_of,
    model_files,
    of_crop,
    open_model,
    stored_model,
)
from mulde.schema import contents

TYPES = "types.tsv"
MEASURED = ("valid", "test")
Metrics = dict[str, dict[str, dict[str, float]]]  # split -> tie policy -> metric -> value


@dataclass(frozen=True)
class Original:
    """A model to be packed, with its graph and its description."""

    place: Path
    model: KGEModel
    graph: TripleSet
    description: dict[str, Any]
    triples: bool = True
    """Whether the bundle will contain the triples of the graph."""
    types: EntityTypes | None = None
    """Types of the entities."""

    @classmethod
    def open(
        cls, model: Path | str, data: str | None = None, *, dim: int | None = None, triples: bool = True,
        types: Path | None = None, tell: Tell = warn,
    ) -> Original:  # fmt: skip
        """A model to be packed.

        Parameters
        ----------
        model
            Run folder, bundle, or name of a pretrained model.
        data
            The graph it was trained on, if it is not beside the model.
        dim
            One of the sizes that the model was trained at; None: all of them.
        triples
            Whether the bundle will contain the triples of the graph. Without them, the model has no graph prior.
        types
            File of lines "entity TAB type". None: those in the bundle, if it is one.
        tell
            Receives a sentence if the source of the graph has changed since the training.

        Raises
        ------
        UsageError
            If there is no model, or the graph is not the one it was trained on.
        """
        remarks: list[str] = []
        description, graph = describe(model), graph_of(model, data, remarks.append)
        refuse_no_triples(model, graph, "packing")
        if graph.checksum != description["data"]["checksum"]:
            raise UsageError(
                f"{data or graph.name} does not have the triples that {model} was trained on, so known answers and "
                f"metrics of the bundle would be those of another graph; {'leave out' if data else 'pass it with'} "
                "--data"
            )
        for remark in remarks:
            tell(remark)
        opened = open_model(model, graph, dim=dim)
        kept = opened if triples else opened.set_graph_prior(None)
        place = bundle.locate(model)
        kinds = None if types is None else read_types(types, graph)
        if kinds is None and bundle.is_bundle(place):
            kinds = bundle.read(place).types(graph)
        return cls(place, kept, graph, of_crop(description, opened), triples, kinds)

    @cached_property
    def known(self) -> KnownAnswers:
        """The filter, for every evaluation."""
        return known_answers(self.graph)

    @cached_property
    def metrics(self) -> Metrics:
        """Metrics of the original model."""
        return self.measure(self.model)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Manifest of the bundle that it was read from; empty for a run folder."""
        return bundle.read(self.place).manifest if bundle.is_bundle(self.place) else {}

    def measure(self, ranker: Ranker, embeddings_only: bool = False) -> Metrics:
        """Filtered link prediction on valid and test in both directions, by tie policy."""
        found: Metrics = {}
        for split in MEASURED:
            if len(getattr(self.graph, split)):
                result = evaluate(ranker, self.graph, split, self.known, embeddings_only=embeddings_only)
                found[split] = {policy: result.metrics(policy) for policy in POLICIES}
        return found


@dataclass(frozen=True)
class Packed:
    """A bundle in memory, not yet written."""

    manifest: dict[str, Any]
    files: dict[str, bytes]

    def loss(self, split: str) -> float:
        """Realistic MRR of the original minus that of the bundle, on a split."""
        before, after = self.manifest["metrics_before"], self.manifest["metrics"]
        return float(before[split]["realistic"]["mrr"] - after[split]["realistic"]["mrr"])

    def refuse_above(self, most: float | None) -> None:
        """Raise UsageError if the loss on valid (on test, if there is no valid split) is above ``most``."""
        split = next(iter(self.manifest["metrics"]), None)
        if most is not None and split is not None and self.loss(split) > most:
            raise UsageError(
                f"{self.manifest['stored']} loses {self.loss(split):.4f} of the {split} MRR "
                f"({self.manifest['metrics_before'][split]['realistic']['mrr']:.4f} to "
                f"{self.manifest['metrics'][split]['realistic']['mrr']:.4f}), more than --max-loss {most:g}; nothing "
                "was written; allow more, or keep more bits"
            )

    def write(self, place: Path) -> None:
        """Write the bundle atomically: a zip if the path ends in .zip, otherwise a folder."""
        bundle.write(place, self.manifest, self.files)


def pack(
    original: Original,
    name: str,
    stored: Stored | None = None,
    licence: str | None = None,
    rules: Rules | None = None,
) -> Packed:
    """A bundle of a model.

    Parameters
    ----------
    original
        The model.
    name
        Name of the bundle.
    stored
        Precision of the tables; None: that of the model.
    licence
        Licence of the data, if it is not a published graph.
    rules
        Rules of the graph, to be contained in the bundle.
    """
    model, graph = original.model, original.graph
    files = model_files(model, graph, graph.name, stored)
    metrics, packed_model = original.metrics, model
    if stored not in (None, model.config.dtype):
        packed_model = stored_model(model, files[WEIGHTS], graph.train)
        metrics = original.measure(packed_model)
    only = original.measure(packed_model, embeddings_only=True) if uses_graph(packed_model) else metrics
    if (fitted := calibration_for(original, packed_model, json.loads(files[DESCRIPTION])["weights"])) is not None:
        files[FILE] = as_file(fitted)
    if rules is not None:
        files[contents.RULES] = rules_file(rules)
    weights = json.loads(files[DESCRIPTION])["weights"]
    if (quantiles := fit_coverage(packed_model, graph, weights, filtered=original.triples)) is not None:
        files[coverage.FILE] = coverage.as_file(quantiles)
    return assemble(original, name, "model", stored or model.config.dtype, files, metrics, only, licence)


def assemble(
    original: Original, name: str, kind: str, stored: str, files: Mapping[str, bytes], metrics: Metrics,
    embeddings_only: Metrics, licence: str | None = None,
) -> Packed:  # fmt: skip
    """A bundle of these files, with names, triples if wanted, manifest and model card; see ``storage/bundle.py``."""
    graph, description = original.graph, original.description
    manifest: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "triples": original.triples,
        "summary": f"{description['scorer']}, {description['model']['dim']} dimensions, {stored}, {graph.name}",
        "stored": stored,
        "model": {key: description[key] for key in ("scorer", "model", "num_entities", "num_relations", "parameters")},
        "data": {
            "name": graph.name,
            "checksum": graph.checksum,
            **{split: len(getattr(graph, split)) for split in SPLITS},
            **_rights(original, licence),
        },
        "protocol": "filtered by train, valid and test; both directions",
        "graph_prior": uses_graph(original.model),
        "condition": condition(original.model),
        "metrics": metrics,
        "embeddings_only": embeddings_only,
        "metrics_before": original.metrics,
        "training": original.manifest.get("training") or _training(original.place),
        "versions": {package: importlib.metadata.version(package) for package in ("mulde", "torch", "numpy")},
    }
    manifest["summary"] += mrr_summary(manifest)
    notice = _notice(original)
    own = {bundle.CARD: utf8(printable(card(manifest, graph))), **({bundle.NOTICE: notice} if notice else {})}
    names = packed.pack(graph)
    if not original.triples:
        del names[packed.KNOWN]
    if original.types is not None:
        manifest["types"] = TYPES
        own[TYPES] = original.types.lines(graph)
    return Packed(manifest, {**files, **names, **own})


def calibration_for(original: Original, model: KGEModel, weights: str) -> Calibration | None:
    """The calibration of an exported model: that of the original if it has these weights, otherwise one that is fitted.

    None if the graph has too few validation triples, as for predictions from a run folder.
    """
    if weights == original.description["weights"]:
        kept = open_calibration(original.place, weights, original.graph.num_relations)
        if kept is not None:
            return kept
    return fit(model, original.graph, weights)


def mrr_summary(manifest: Mapping[str, Any]) -> str:
    """End of a bundle's summary: test MRR of the embeddings only, and beside it with the graph prior."""
    figures = [
        f"{manifest[key]['test']['realistic']['mrr']:.4f}{words}"
        for key, words in (("embeddings_only", ""), ("metrics", f" with {manifest.get('condition', 'graph prior')}"))
        if "test" in manifest[key] and (key == "embeddings_only" or manifest["graph_prior"])
    ]
    return f": test MRR {', '.join(figures)}" if figures else ""


def _rights(original: Original, licence: str | None) -> dict[str, str]:
    """Citation and licence of the data: of the published graph with this checksum, or as given."""
    published = _published(original.graph)
    before = original.manifest.get("data", {})
    return {
        "citation": published.citation if published else before.get("citation", "none known"),
        "licence": licence or (published.licence if published else before.get("licence", "not stated")),
    }


def _notice(original: Original) -> bytes:
    """Notice of the published graph, or of the bundle that is packed again."""
    published = _published(original.graph)
    if published is not None:
        return catalogue.notice(published.name).encode()
    if not original.manifest:
        return b""
    before = bundle.read(original.place)
    return before.file(bundle.NOTICE) if bundle.NOTICE in before.names else b""


def _published(graph: TripleSet) -> PublishedSet | None:
    records = map(catalogue.record, catalogue.names())
    return next((record for record in records if record.checksum == graph.checksum), None)


def _training(run: Path) -> dict[str, Any]:
    """Settings and outcome of the fit in a run folder; empty if it has none."""
    config = schema.read(run / "fit/config.json", contents.CONFIG) or {}
    record = schema.read(run / "fit/record.json", contents.RECORD) or {}
    return {
        **{key: config[key] for key in ("config", "fit", "seed", "optimizers") if key in config},
        **{f"record.{key}": record[key] for key in ("epochs", "best_epoch") if key in record},
    }
