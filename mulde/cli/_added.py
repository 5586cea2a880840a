"""``--add`` of `evaluate` and `predict`: a model and another source of scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from mulde.cli._output import announce, show
from mulde.engine.provenance import fingerprint
from mulde.errors import UsageError
from mulde.files import sha256_of
from mulde.kge.evaluation.added_source import (
    EMBEDDINGS,
    WEIGHTS,
    Compared,
    compare,
    conditions,
    drawn,
    keep_weights,
    kept_weights,
)
from mulde.kge.inference.added import AddedPredictor
from mulde.kge.storage.bundle import is_bundle, locate
from mulde.metrics.ranks import Ranks, mean_interval
from mulde.report.tables import COLUMNS, model_line, table
from mulde.ultra.checkpoint import open_ultra, path_of
from mulde.ultra.pretraining import pretraining
from mulde.ultra.teacher import UltraTeacher

if TYPE_CHECKING:
    from kge_data.tripleset import TripleSet
    from mulde.cli.evaluate import Config
    from mulde.kge.model.kge_model import KGEModel

VALID = 1000  # validation triples that choose the weight, at most
CONDITIONS = {EMBEDDINGS: "embeddings only", "with_prior": "with graph prior"}


def evaluated_sum(settings: Config, model: KGEModel, graph: TripleSet, description: Mapping[str, Any]) -> int:
    """Fit the weight on validation triples, rank a split, and print model, source and sum."""
    checkpoint = _checkpoint(settings.add or "")
    source = UltraTeacher(open_ultra(checkpoint), graph, leave_out=settings.split == "train")
    if not len(graph.valid):
        raise UsageError(f"--add fits a weight on the validation split, and {graph.name} has none; split it first")
    seen = pretraining(checkpoint, graph)
    announce(str(seen))
    some = drawn(len(graph.valid), VALID, settings.seed)
    fitted = _ranked(model, source, graph, graph.valid[some], dict.fromkeys(conditions(model), WEIGHTS)).best()
    triples = getattr(graph, settings.split)
    chosen = triples[drawn(len(triples), settings.sample, settings.seed)]
    weights = {name: (0.0, weight) for name, weight in fitted.items()}
    found = _ranked(model, source, graph, chosen, weights)
    _keep(settings.model, fitted, model, checkpoint)
    rows = _rows(found, fitted)
    result = {
        "data": graph.name, "checksum": graph.checksum, "split": settings.split, "triples": len(chosen),
        "sample_of": None if len(chosen) == len(triples) else len(triples), "source": str(settings.add),
        "pretraining": str(seen), "weights": fitted, "validation_triples": len(some), "rows": rows,
    }  # fmt: skip
    part = "" if len(chosen) == len(triples) else f", a random sample of {len(chosen):,} triples"
    lines = [
        model_line(description),
        f"{graph.name}, {settings.split} split{part}, filtered, both directions, realistic ranks",
        table(rows),
        f"the weight was chosen on {len(some):,} validation triples; gains are paired, with a 95 % bootstrap interval",
    ]
    return show(result, "\n".join(lines), settings.json)


def added_predictor(add: str, place: Path, model: KGEModel, graph: TripleSet, embeddings_only: bool) -> AddedPredictor:
    """A model plus a source as a predictor, with the fitted weight or 1."""
    checkpoint = _checkpoint(add)
    source = UltraTeacher(open_ultra(checkpoint), graph, leave_out=False)
    condition = EMBEDDINGS if embeddings_only else conditions(model)[-1]
    kept = None if is_bundle(locate(place)) else kept_weights(locate(place), _identity(model, checkpoint))
    if kept is None or condition not in kept:
        announce(
            f"the weight of {add} is 1; `mulde evaluate {place} --add {add}` fits one, and keeps it in a run folder"
        )
    return AddedPredictor(model, source, (kept or {}).get(condition, 1.0))


def _checkpoint(add: str) -> Path:
    path = path_of(add)
    if path is None:
        raise UsageError(f"--add {add}: expected ultra:PATH, a checkpoint of ULTRA")
    return path


def _identity(model: KGEModel, checkpoint: Path) -> dict[str, str]:
    return {"model": fingerprint(model), "source": sha256_of(checkpoint)}


def _keep(place: Path, weights: dict[str, float], model: KGEModel, checkpoint: Path) -> None:
    """Keep the weights beside the model; a bundle or a read-only folder keeps none, which is announced."""
    folder = locate(place)
    if is_bundle(folder):
        announce("the weights are not kept, because a bundle is not changed")
        return
    try:
        keep_weights(folder, weights, _identity(model, checkpoint))
    except OSError as error:
        announce(f"the weights are not kept: {folder} ({error.strerror})")


def _ranked(
    model: KGEModel, source: UltraTeacher, graph: TripleSet, triples: Any, weights: Mapping[str, tuple[float, ...]]
) -> Compared:
    with tqdm(total=2 * len(triples), desc="rankings", unit="query", disable=None) as bar:
        return compare(model, source, graph, triples, weights, progress=bar.update)


def _rows(found: Compared, fitted: Mapping[str, float]) -> list[dict[str, Any]]:
    """A row for the source, and for each condition one for the model and one for the sum."""
    rows = [{"scores": "source alone", **_metrics(found.source), "gain": None, "95 %": None}]
    for condition, weight in fitted.items():
        alone, both = found.sums[condition][0.0], found.sums[condition][weight]
        gain = (1 / both.ranks() - 1 / alone.ranks()).reshape(2, -1).mean(0)
        low, high = mean_interval(gain)
        name = CONDITIONS[condition]
        rows.append({"scores": f"model, {name}", **_metrics(alone), "gain": None, "95 %": None})
        rows.append(
            {
                "scores": f"model + {weight:g} · source, {name}", **_metrics(both), "gain": float(gain.mean()),
                "95 %": f"{low:+.4f} to {high:+.4f}",
            }
        )  # fmt: skip
    return rows


def _metrics(found: Ranks) -> dict[str, float]:
    metrics = found.metrics()
    return {title: metrics[name] for name, title in COLUMNS.items() if name != "mr"}
