"""Link prediction of a trained model: filtered, in both directions; or triple classification.

Examples:
    mulde evaluate runs/wn18rr/junior-roth-32
    mulde evaluate runs/wn18rr/junior-roth-32 --split valid --details
    mulde evaluate runs/codex-s/roth-32 --task classification
    mulde evaluate --model umls-8

Classification fits probabilities on the validation split and judges them on the test split; `mulde predict` then gives
whole triples their probability.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kge_data.loading import folder_of
from kge_data.tripleset import TripleSet
from mulde.cli._output import announce, show
from mulde.config.command_line import Positional, parse
from mulde.engine import process
from mulde.errors import UsageError
from mulde.files import write_atomically
from mulde.kge.evaluation.cache import reported
from mulde.kge.evaluation.calibration import FILE, save_calibration
from mulde.kge.evaluation.triple_classification import classify, read_negatives
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.bundle import is_bundle, locate
from mulde.kge.storage.run_folder import describe, graph_of, open_model
from mulde.report.tables import metrics_rows, model_line, table


@dataclass(frozen=True)
class Config:
    """What to evaluate."""

    model: Positional[Path]
    """Run folder of the model, a bundle (`mulde pack`), or a name of `mulde list models`."""
    data: str | None = None
    """The graph; by default the one the model was trained on."""
    task: Literal["ranking", "classification"] = "ranking"
    """Rank the true answer among all entities, or tell true triples from false ones."""
    split: Literal["test", "valid", "train"] = "test"
    """Which triples are asked; classification always fits on valid and judges on test."""
    valid_negatives: Path | None = None
    """False triples for classification; by default valid_negatives.txt and test_negatives.txt beside the graph's files,
    and where there are none, drawn ones."""
    test_negatives: Path | None = None
    """The same for the test split; give both."""
    sample: int | None = None
    """Rank only so many triples, drawn at random (--seed), against all entities; for large graphs."""
    seed: int = 0
    """Seed of the sample."""
    mask_self_loops: bool = True
    """Rank the query entity last where its relation has no self-loop in training, if the model was trained so. Most
    published figures do not."""
    details: bool = False
    """Also show directions, cardinality classes and relations."""
    threads: int | None = None
    """Processor threads; by default all."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde evaluate", __doc__ or "")
    process.start(settings.threads)
    description = describe(settings.model)
    graph = graph_of(settings.model, settings.data)
    model = open_model(settings.model, graph).to(settings.device)
    if not settings.mask_self_loops:
        model.unmask_self_loops()
    if graph.checksum != description["data"]["checksum"]:
        announce(f"{graph.name} has the names, but not the triples that this model was trained on")
    if settings.task == "classification":
        return _classification(settings, model, graph, description)
    if settings.sample is not None and settings.sample < 1:
        raise UsageError(f"--sample must be at least 1; got {settings.sample}")
    report = reported(model, graph, settings.split, sample=settings.sample, seed=settings.seed)
    own = settings.model / f"{settings.split}.json"
    whole, as_trained = report["sample_of"] is None, settings.mask_self_loops
    if (
        whole and as_trained and _ours(settings, graph, description) and not own.exists()
    ):  # never over a result that is there
        with contextlib.suppress(OSError):  # somebody else's folder may be read-only
            write_atomically(own, json.dumps(report, indent=2, ensure_ascii=False).encode())
    low, high = report["mrr_interval_95"]
    lines = [
        model_line(description),
        f"{graph.name}, {settings.split} split, filtered, both directions: {report['rankings']:,} rankings",
        *([] if as_trained else ["every relation may answer with the entity asked about"]),
        *([] if whole else [f"a random sample: {report['triples']:,} of {report['sample_of']:,} triples"]),
        table(metrics_rows(report)),
        f"95 % interval of the realistic MRR (bootstrap over triples): {low:.4f} to {high:.4f}",
        *_vectors_alone(report),
    ]
    if settings.details:
        for title in ("by_direction", "by_cardinality", "by_seen", "by_relation"):
            rows = [{title.removeprefix("by_"): name, **values} for name, values in report[title].items()]
            lines += ["", table(rows)]
    return show(report, "\n".join(lines), settings.json)


def _vectors_alone(report: Mapping[str, Any]) -> list[str]:
    if "embeddings_only" not in report:
        return []
    alone = report["embeddings_only"]
    told = ", ".join(f"{name} {alone[name]:.4f}" for name in ("mrr", "hits@1", "hits@10"))
    return [
        f"with what the graph tells of the candidates (`mulde train --mask-self-loops, --graph-prior`); by vectors alone: {told}"
    ]


def _ours(settings: Config, graph: TripleSet, description: dict[str, Any]) -> bool:
    """Whether what is found belongs beside the model: on the graph it was trained on, in a folder that may grow."""
    return bool(graph.checksum == description["data"]["checksum"]) and not is_bundle(locate(settings.model))


def _classification(settings: Config, model: KGEModel, graph: TripleSet, description: dict[str, Any]) -> int:
    files = settings.valid_negatives, settings.test_negatives
    if (files[0] is None) != (files[1] is None):
        raise UsageError("--valid-negatives and --test-negatives belong together; give both")
    if files[0] is None and (folder := folder_of(settings.data or description["data"]["source"])) is not None:
        beside = folder / "valid_negatives.txt", folder / "test_negatives.txt"
        files = beside if all(path.is_file() for path in beside) else files
    negatives = None
    if files[0] is not None and files[1] is not None:
        negatives = read_negatives(files[0], graph), read_negatives(files[1], graph)
    name = " and ".join(path.name for path in files if path is not None)
    found = classify(model, graph, negatives, name=name, weights=description["weights"])
    report = found.report()
    if _ours(settings, graph, description) and not (settings.model / FILE).exists():
        with contextlib.suppress(OSError):
            save_calibration(settings.model, found.calibration)
            announce(f"probabilities for `mulde predict` are in {settings.model / FILE}")
    counts = found.triples
    one = found.one_threshold
    lines = [
        model_line(description),
        f"{graph.name}, is a triple true? fitted on {counts['valid true']:,} true and {counts['valid false']:,} false "
        f"triples of valid, judged on {counts['test true']:,} and {counts['test false']:,} of test",
        f"false triples: {found.calibration.negatives}",
        table([found.test]),
        f"with one threshold for all relations: accuracy {one['accuracy']:.4f}, F1 {one['f1']:.4f}",
        "",
        "probability said, and share that is true",
        table(found.reliability),
    ]
    if settings.details:
        lines += ["", table([{"relation": relation, **values} for relation, values in found.by_relation.items()])]
    return show(report, "\n".join(lines), settings.json)
