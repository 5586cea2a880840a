"""What `train`, `distil` and `run` share: options, a beginning, and a stage that is told of; see also `_summary.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kge_data
from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde import catalogue, user_code
from mulde.cli._output import announce
from mulde.engine import process
from mulde.engine.checkpoint import ConfigurationChanged
from mulde.errors import UsageError
from mulde.kge.evaluation.cache import cached_report
from mulde.kge.evaluation.link_prediction import known_answers
from mulde.kge.methods.offline import Offline
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.run_folder import find_scorer, scorer_name
from mulde.kge.training import stage
from mulde.kge.training.presets import PresetName

SMALL = 10_000  # entities up to which a step is too short to be divided among threads


@dataclass(frozen=True, kw_only=True)
class Common:
    """Data, place and process."""

    data: str = "umls"
    """A graph by name (`mulde list data`), or the path of a folder or file."""
    out: Path | None = None
    """Run folder; by default one below runs/, named after the graph and the model."""
    preset: PresetName = "recommended"
    """Where options that are not given take their values: recommended for this graph; best: one large teacher that
    answers once; or as in kgemb or in the paper."""
    threads: int | None = None
    """Processor threads; by default all, but one for graphs of less than 10,000 entities, where more threads mostly
    wait for each other."""
    keep_memory: bool = True
    """Let the C library keep freed memory instead of giving it back at every step (glibc): faster."""
    json: bool = False
    """Print the result as JSON."""
    save_record: Path | None = None
    """Copy the small files of the finished run (results, settings, logs; no models) to this folder."""
    overwrite: bool = False
    """Let --save-record replace files that differ."""


def scorer_called(name: str, shape: ModelConfig) -> str:
    """A scorer's name as its file spells it. Raises before anything is trained if the shape does not fit."""
    found = scorer_name(catalogue.find("scorers", name))
    if remark := catalogue.note("scorers", name):
        announce(remark)
    KGEModel(find_scorer(found), 1, 1, shape)
    return found


def build_of(method: str) -> stage.Build | None:
    """What makes the method of a file of the user's; None for those that come with the package."""
    if not method.endswith(".py"):
        return None
    build: stage.Build = user_code.from_file(Path(method), "build")
    return build


def begin(settings: Common) -> tuple[TripleSet, KnownAnswers]:
    """Set the process up and load the graph."""
    graph = kge_data.load(settings.data)
    small = graph.num_entities < SMALL
    process.start(1 if settings.threads is None and small else settings.threads, settings.keep_memory)
    for split in ("train", "valid", "test"):
        if not len(getattr(graph, split)):
            raise UsageError(
                f"{settings.data} has no {split} triples, which training needs; add a {split} file, or give "
                "all triples as a single file, which is split by seed"
            )
    announce(str(graph).removeprefix("TripleSet(").removesuffix(")").replace("'", ""))
    return graph, known_answers(graph)


def fitted(title: str, folder: Path, fit: Callable[[Path], stage.Outcome]) -> stage.Outcome:
    """Carry out one stage. Raises UsageError where its folder holds a run with other settings."""
    announce(title)
    try:
        outcome = fit(folder)
    except ConfigurationChanged as error:
        options = [change for change in error.changes if change.startswith(("config.", "fit.", "seed:"))]
        short = [re.sub(r"^(config|fit)\.(model\.)?", "", change) for change in options or error.changes]
        shown = "\n  ".join(dict.fromkeys(short))
        raise UsageError(
            f"{folder} holds a run with other settings; give another --out, or the old settings:\n  {shown}"
        ) from error
    if isinstance(outcome.method, Offline):
        announce(f"  {outcome.method.answers}")
    if outcome.record.reused:
        announce(f"  finished before and reused: {folder}")
    return outcome


def judged(outcome: stage.Outcome, graph: TripleSet, folder: Path, known: KnownAnswers) -> dict[str, Any]:
    """Evaluate a stage's model on the test split and tell how it went."""
    report = cached_report(outcome.model, graph, folder, "test", known)
    record = outcome.record
    test = f"{report['realistic']['mrr']:.4f} on test"
    if "embeddings_only" in report:
        test += f" ({report['embeddings_only']['mrr']:.4f} by vectors alone)"
    why = "" if record.stopped_by == "epochs" else f", stopped by {record.stopped_by}"
    announce(
        f"  {record.epochs} epochs in {record.seconds:.0f} s{why}; best after {record.best_epoch}: "
        f"MRR {record.best_metrics['valid/mrr']:.4f} on valid without the closed world, {test}"
    )
    return report
