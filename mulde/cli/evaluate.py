"""Evaluate a trained model: filtered link prediction in both directions, or triple classification.

Examples:
    mulde evaluate runs/wn18rr/roth-32
    mulde evaluate runs/umls                the recommended model of a run
    mulde evaluate wn18rr-32 --protocol all     by the rules of other code
    mulde evaluate ultra:ultra_3g.pth --data umls
    mulde evaluate wn18rr-32 --add ultra:ultra_3g.pth

Classification fits probabilities on the validation split and evaluates them on the test split. `mulde predict` shows
them. ULTRA (Galkin et al. 2024) was pre-trained on other graphs: its figures are a baseline before training.

A student of an image method has other options: `mulde evaluate RUN --help` shows them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mulde.cli._output import announce, show
from mulde.cli._watermark import watermark_line
from mulde.config import Count, Size, Threads, Whole
from mulde.config.command_line import Positional, parse
from mulde.errors import UsageError
from mulde.files import write_json
from mulde.kge.evaluation.protocols import STRICT, protocol_called
from mulde.report.tables import metrics_rows, model_line, table

if TYPE_CHECKING:
    from kge_data.tripleset import TripleSet
    from mulde.kge.evaluation.calibration import Calibration
    from mulde.kge.evaluation.triple_classification import Classification
    from mulde.kge.model.kge_model import KGEModel

FIRST = ("model", "data", "split", "task", "protocol", "details", "sample", "threads", "device", "json")
ALL = "all"
BESIDE = {
    "graph prior": "Metrics use embeddings only; those with graph prior also mask self-loops.",
    "masked self-loops": "Metrics use embeddings only, but for the MRR with masked self-loops.",
}


@dataclass(frozen=True)
class Config:
    """What to evaluate."""

    model: Positional[Path]
    """Run folder, bundle (`mulde pack`), name of a pretrained model (`mulde list models`), or, with --data, ultra:PATH
    for a checkpoint of ULTRA."""
    dim: Size | None = None
    """One of the sizes of a model that was trained with --dims; by default the largest."""
    data: str | None = None
    """Another graph to evaluate on; its triples with names that the model does not know are left out. By default the
    graph that the model was trained on."""
    task: Literal["ranking", "classification"] = "ranking"
    """Rank the true answer among all entities, or classify triples as true or false."""
    split: Literal["test", "valid", "train"] = "test"
    """Split to rank; classification always fits on valid and evaluates on test."""
    valid_negatives: Path | None = None
    """File of false triples for classification. By default valid_negatives.txt and test_negatives.txt in the graph's
    folder; if there are none, they are drawn."""
    test_negatives: Path | None = None
    """The same for the test split; give both."""
    sample: Count | None = None
    """Number of triples to rank, drawn at random, against all entities; for large graphs. By default all."""
    seed: Whole = 0
    """Seed of the sample."""
    mask_self_loops: bool = True
    """Rank the query entity last if its relation has no self-loop in training and the model was trained with this
    option. Most published figures do not mask."""
    protocol: str = STRICT.name
    """Rules of the ranking: strict; those of other code, by embeddings only, to compare with published figures
    (pessimistic, optimistic, no-self, seen, which is also called pykeen-wn18rr, seen-no-self); or all, a row for each,
    with what it changes."""
    add: str | None = None
    """Another source that was not trained on this graph, ultra:PATH: also evaluate the sum of its log-probabilities
    and the model's, with a weight that is fitted on the validation split and kept for `mulde predict --add`."""
    watermark: Path | None = None
    """File with a key: also tell whether the scores have its watermark, with the probability that a model without it
    looks so."""
    typed: bool = False
    """Also rank among the entities that occur at the same position of the relation in train: a column of its own."""
    types: Path | None = None
    """File of lines `entity TAB type`, for --typed: rank among the entities that have a type of those that occur
    there."""
    details: bool = False
    """Also show directions, cardinality classes and relations."""
    threads: Threads | None = None
    """Processor threads. Default: all; one for graphs with fewer than 10,000 entities."""
    device: str = "auto"
    """Device: auto (cuda if there is one, otherwise cpu), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde evaluate", __doc__ or "", first=FIRST)
    from mulde.cli._model import chosen
    from mulde.cli._process import computing
    from mulde.kge.storage.graph import refuse_no_triples, seen_in_training
    from mulde.kge.storage.run_folder import describe, graph_of
    from mulde.ultra.checkpoint import path_of

    if settings.protocol != ALL:
        protocol_called(settings.protocol)
    if settings.protocol != STRICT.name and settings.task == "classification":
        raise UsageError("--protocol is for ranking; leave out --task classification")
    if settings.types is not None and not settings.typed:
        raise UsageError("--types belongs to --typed; give both")
    if settings.typed and (settings.protocol != STRICT.name or settings.task == "classification" or settings.add):
        raise UsageError(
            f"--typed is for ranking by the protocol {STRICT.name}; leave out --protocol, --task and --add"
        )
    if settings.add is not None and (settings.protocol != STRICT.name or settings.task == "classification"):
        raise UsageError(f"--add is for ranking by the protocol {STRICT.name}; leave out --protocol and --task")
    if (checkpoint := path_of(settings.model)) is not None:
        return _without_training(settings, checkpoint)
    settings = replace(settings, model=chosen(settings.model))
    description = describe(settings.model)
    graph = graph_of(settings.model, settings.data, announce)
    refuse_no_triples(settings.model, graph, "evaluation")
    if (
        settings.data
        and settings.split != "train"
        and (seen := seen_in_training(settings.model, graph, settings.split))
    ):
        total = len(getattr(graph, settings.split))
        announce(f"the model was trained on {seen:,} of the {total:,} {settings.split} triples of {settings.data}")
    with computing(graph, settings.device, settings.threads) as device:
        return _evaluated(settings, graph, description, device)


def _without_training(settings: Config, checkpoint: Path) -> int:
    """Evaluate ULTRA on a graph that it was not trained on."""
    from kge_data.loading import load
    from mulde.cli._process import computing
    from mulde.kge.evaluation.cache import full_report
    from mulde.ultra.pretraining import pretraining
    from mulde.ultra.teacher import open_baseline

    if settings.data is None:
        raise UsageError(f"expected a graph for {settings.model}; got none; give its name or path with --data")
    if settings.task == "classification":
        raise UsageError("ULTRA has no probabilities, which classification needs; leave out --task")
    if settings.protocol != STRICT.name:
        raise UsageError(f"ULTRA is evaluated by the protocol {STRICT.name} only; leave out --protocol")
    if settings.dim is not None:
        raise UsageError("ULTRA has one size; leave out --dim")
    if settings.typed:
        raise UsageError("--typed is for trained models; leave it out for ULTRA")
    if settings.add is not None:
        raise UsageError(
            f"{settings.model} has no model that --add could be added to; give a model, or leave out --add"
        )
    graph = load(settings.data)
    ranker = open_baseline(checkpoint, graph, settings.split)
    seen = pretraining(checkpoint, graph)
    with computing(graph, "cpu", settings.threads):
        report = full_report(ranker, graph, settings.split, sample=settings.sample, seed=settings.seed)
    parameters = sum(each.numel() for each in ranker.parameters())
    title = f"ULTRA ({checkpoint.name}), {parameters:,} parameters, not trained on {graph.name}"
    text = "\n".join([*_lines(settings, report, title), f"pre-training: {seen}"])
    return show({**report, "pretraining": str(seen)}, text, settings.json)


def _evaluated(settings: Config, graph: TripleSet, description: dict[str, Any], device: str) -> int:
    from mulde.cli._added import evaluated_sum
    from mulde.cli._protocols import restated
    from mulde.kge.storage.run_folder import of_crop, open_model

    model = open_model(settings.model, graph, dim=settings.dim).to(device)
    description = of_crop(description, model)
    if not settings.mask_self_loops:
        model.unmask_self_loops()
    if settings.add is not None:
        return evaluated_sum(settings, model, graph, description)
    if settings.protocol != STRICT.name:
        return restated(settings, model, graph, description)
    if settings.task == "classification":
        return _classification(settings, model, graph, description)
    return _ranking(settings, model, graph, description)


def _ranking(settings: Config, model: KGEModel, graph: TripleSet, description: dict[str, Any]) -> int:
    from mulde.kge.evaluation.cache import full_report

    report = full_report(model, graph, settings.split, sample=settings.sample, seed=settings.seed)
    path = settings.model / f"{settings.split}.json"
    if report["sample_of"] is None and settings.mask_self_loops and _belongs(settings, graph, model):
        _keep(path, report)
    if settings.typed:
        report = {**report, "typed": _typed(settings, model, graph)}
    lines = _lines(settings, report, model_line(description))
    if settings.watermark is not None:
        from mulde.kge.evaluation.watermark import watermark_of

        found = watermark_of(model, graph, settings.watermark)
        report, lines = {**report, "watermark": found}, [*lines, watermark_line(found)]
    return show(report, "\n".join(lines), settings.json)


def _typed(settings: Config, model: KGEModel, graph: TripleSet) -> dict[str, Any]:
    """The figures of the ranking by type, of the embeddings only and of the complete model."""
    from mulde.kge.evaluation.typed import typed_metrics
    from mulde.kge.inference.candidate_choice import chosen_candidates

    sets = chosen_candidates(graph, types=settings.types, typed=True)
    assert sets is not None
    found = partial(typed_metrics, model, graph, settings.split, sets, sample=settings.sample, seed=settings.seed)
    return {**found(embeddings_only=True), "with_graph": found()}


def _lines(settings: Config, report: Mapping[str, Any], title: str) -> list[str]:
    only = report["embeddings_only"]
    low, high = only["mrr_interval_95"]
    lines = [
        title,
        f"{_named(settings, report['data'])}, {settings.split} split, filtered, both directions: "
        f"{report['rankings']:,} ranks",
    ]
    if not settings.mask_self_loops:
        lines.append("self-loops are not masked")
    if report["sample_of"] is not None:
        lines.append(f"a random sample: {report['triples']:,} of {report['sample_of']:,} triples")
    lines += [
        table(metrics_rows(report)),
        f"95 % bootstrap interval of the realistic MRR: {low:.4f} to {high:.4f}",
    ]
    if report["graph_prior"]:
        lines[-1] += " (with {}: {:.4f} to {:.4f})".format(report["condition"], *report["mrr_interval_95"])
        lines.append(BESIDE[report["condition"]])
    if (
        settings.details
        and (precision := report["embeddings_only"].get("precision", {}))
        and report["sample_of"] is None
    ):
        figures = ", ".join(f"{value:.4f} at {k}" for k, value in precision.items())
        lines.append(
            f"precision of the first answers to a query: {figures}; answers that are in no split count as false"
        )
    if "typed" in report:
        typed = report["typed"]
        lines.append(
            f"typed: only entities {typed['about']} are candidates, {typed['candidates']:,.0f} per query; "
            f"{1 - typed['inside']:.1%} of the answers are not among them and count as not found"
        )
        if report["graph_prior"]:
            lines[-1] += f"; MRR with {report['condition']} {typed['with_graph']['realistic']['mrr']:.4f}"
    if settings.details:
        for key in ("by_direction", "by_cardinality", "by_seen", "by_relation"):
            rows = [{key.removeprefix("by_"): name, **values} for name, values in only[key].items()]
            lines += ["", table(rows)]
    return lines


def _classification(settings: Config, model: KGEModel, graph: TripleSet, description: dict[str, Any]) -> int:
    from mulde.kge.evaluation.triple_classification import classify, read_negatives

    files = _negatives(settings, description)
    negatives = None if files is None else (read_negatives(files[0], graph), read_negatives(files[1], graph))
    name = "" if files is None else " and ".join(path.name for path in files)
    found = classify(model, graph, negatives, name=name, weights=description["weights"])
    _keep_probabilities(settings, graph, model, found.calibration)
    lines = [model_line(description), *_classification_lines(found, _named(settings, graph.name))]
    if settings.details:
        lines += ["", table([{"relation": relation, **values} for relation, values in found.by_relation.items()])]
    return show(found.report(), "\n".join(lines), settings.json)


def _keep_probabilities(settings: Config, graph: TripleSet, model: KGEModel, fitted: Calibration) -> None:
    """Write a calibration beside the model, unless there is one; say where it is, or why it is not kept."""
    from mulde.kge.evaluation.calibration import FILE, open_calibration, save_calibration
    from mulde.kge.storage.bundle import is_bundle, locate
    from mulde.kge.storage.run_folder import describe

    description, place = describe(settings.model), locate(settings.model)
    if graph.checksum != description["data"]["checksum"]:
        announce("these probabilities are not kept, because the model was trained on another graph")
        return
    if model.config.dim != description["model"]["dim"]:
        announce("these probabilities are not kept, because a run folder has those of the largest size")
        return
    kept = open_calibration(place, description["weights"], graph.num_relations)
    if kept is not None and kept.negatives != fitted.negatives:
        announce(f"{place / FILE} is not replaced; it was fitted with other false triples: {kept.negatives}")
    if kept is not None:
        return
    if is_bundle(place):
        announce(
            "these probabilities are not kept, because a bundle is not changed; `mulde pack` of this bundle makes one "
            "with probabilities"
        )
        return
    try:
        save_calibration(place, fitted)
    except OSError as error:
        announce(f"these probabilities are not kept: {place / FILE} could not be written ({error.strerror})")
        return
    announce(f"probabilities for `mulde predict` are in {place / FILE}")


def _named(settings: Config, name: str) -> str:
    """The graph that the figures are for."""
    return name if settings.data is None else f"{name} (--data {settings.data})"


def _classification_lines(found: Classification, name: str) -> list[str]:
    counts, one = found.triples, found.one_threshold
    return [
        f"{name}, triple classification: fitted on {counts['valid true']:,} true and {counts['valid false']:,} "
        f"false triples of valid, evaluated on {counts['test true']:,} and {counts['test false']:,} of test",
        f"false triples: {found.calibration.negatives}",
        table([found.test]),
        f"with one threshold for all relations: accuracy {one['accuracy']:.4f}, F1 {one['f1']:.4f}",
        "",
        "predicted probability, and fraction that is true",
        table(found.reliability),
    ]


def _negatives(settings: Config, description: Mapping[str, Any]) -> tuple[Path, Path] | None:
    """Files of false triples: those that are given, or those in the graph's folder."""
    from kge_data.loading import folder_of

    given = settings.valid_negatives, settings.test_negatives
    if given[0] is not None and given[1] is not None:
        return given[0], given[1]
    if given != (None, None):
        raise UsageError("--valid-negatives and --test-negatives belong together; give both")
    source = settings.data or description["data"]["source"]
    folder = folder_of(source) if source else None
    if folder is None:
        return None
    found = folder / "valid_negatives.txt", folder / "test_negatives.txt"
    return found if all(path.is_file() for path in found) else None


def _belongs(settings: Config, graph: TripleSet, model: KGEModel) -> bool:
    """Whether results may be kept beside the model: those of the largest size on its graph, and not in a bundle."""
    from mulde.kge.storage.bundle import is_bundle, locate
    from mulde.kge.storage.run_folder import describe

    own = describe(settings.model)
    same = graph.checksum == own["data"]["checksum"] and model.config.dim == own["model"]["dim"]
    return same and not is_bundle(locate(settings.model))


def _keep(path: Path, report: Mapping[str, Any]) -> None:
    """Write a result beside the model, unless there is one or the folder is read-only."""
    if not path.exists():
        with contextlib.suppress(OSError):
            write_json(path, report)
