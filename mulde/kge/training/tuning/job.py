"""One trial of a search: its options and its training."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.config import flatten, from_dict
from mulde.engine import Record
from mulde.engine.progress import Progress, Report, silent
from mulde.errors import NonFiniteError
from mulde.kge.model.scorer import Scorer
from mulde.kge.storage.run_folder import scorer_name
from mulde.kge.training import stage
from mulde.kge.training.method_file import MethodFile
from mulde.kge.training.presets import EMBEDDINGS_ONLY
from mulde.kge.training.run import checked_scorer
from mulde.kge.training.tuning.space import Space
from mulde.kge.training.tuning.study import trial_folder

if TYPE_CHECKING:
    import optuna

MRR = "valid/mrr"
TENTHS = 10  # a trial is compared with others once in each tenth of its training


@dataclass(frozen=True)
class Job:
    """What all trials of a search share."""

    scorer: type[Scorer]
    graph: TripleSet
    """Without test triples."""
    config: Any
    """Options of the first trial."""
    method: MethodFile | None
    teachers: Sequence[nn.Module]
    folder: Path
    space: Space
    trials: int
    prune: bool
    known: KnownAnswers
    bar: bool | None
    progress: Report

    def options(self, chosen: Mapping[str, Any], seconds: float | None) -> Any:
        """Options of a trial with these values, within a time limit."""
        return from_dict(type(self.config), {**flatten(self.config), **chosen, "budget": seconds}, "options")

    def check(self) -> None:
        """Raise UsageError where a value of the space is impossible with the other options."""
        for name, dimension in self.space.items():
            for value in dimension.extremes:
                config = self.options({name: value}, None)
                if self.scorer.__module__.startswith("mulde.kge.scorers."):
                    checked_scorer(scorer_name(self.scorer), config.model)

    def warm_up(self) -> None:
        """Train for a moment, so that no trial with a time limit pays for imports and compilation."""
        self._train({}, None, 1e-3, silent, "warm-up")

    def run(self, study: optuna.Study, trial: optuna.Trial, seconds: float | None) -> None:
        """Train within a time limit, and tell the study the result. It continues from a checkpoint if there is one."""
        import optuna

        place = trial_folder(self.folder, trial.number)
        started = time.monotonic() - trial.user_attrs.get("seconds", 0.0)
        tenths = max(study.trials[trial.number].intermediate_values, default=-1)

        def report(message: Progress) -> None:
            nonlocal tenths
            if MRR not in message.metrics:
                return
            trial.set_user_attr("seconds", time.monotonic() - started)
            if (tenth := int(TENTHS * message.fraction)) > tenths:
                tenths = tenth
                trial.report(message.metrics[MRR], tenth)
                if self.prune and tenth < TENTHS and trial.should_prune():
                    raise optuna.TrialPruned
            done = (trial.number + message.fraction) / self.trials
            self.progress(Progress("tune", "", min(1.0, done), message.metrics))

        try:
            chosen = trial.params if trial.number else {}  # the first trial: the preset
            record = self._train(chosen, place, seconds, report, f"trial {trial.number + 1}/{self.trials}")
            value = record.best_metrics[MRR]
        except optuna.TrialPruned:
            value, state = None, optuna.trial.TrialState.PRUNED
        except NonFiniteError as error:
            value, state = None, optuna.trial.TrialState.PRUNED
            trial.set_user_attr("diverged", str(error))
        else:
            state = optuna.trial.TrialState.COMPLETE
        trial.set_user_attr("seconds", time.monotonic() - started)
        study.tell(trial, value, state)
        shutil.rmtree(place, ignore_errors=True)

    def _train(
        self, chosen: Mapping[str, Any], place: Path | None, seconds: float | None, report: Report, title: str
    ) -> Record:
        config = self.options(chosen, seconds)
        config = replace(config, model=replace(config.model, **EMBEDDINGS_ONLY))
        common: dict[str, Any] = {"known": self.known, "bar": self.bar, "progress": report, "stage": title}
        if self.method is None:
            return stage.train(self.scorer, self.graph, config, place, **common).record
        return stage.distil(self.scorer, self.teachers, self.graph, config, place, method=self.method, **common).record
