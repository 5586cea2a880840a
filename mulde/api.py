"""The main job from Python, options as keywords: train a model, distil models into a small one.

    import kge_data, mulde

    graph = kge_data.load("umls")
    teachers = [mulde.train(name, graph, dim=64, epochs=50) for name in ("roth", "refh")]
    junior = mulde.distil("roth", teachers, graph, dim=16, epochs=50, folder="runs/junior")
    mulde.evaluate(junior, graph).metrics()
    mulde.predict(junior, graph, head="virus", relation="causes")
    junior = mulde.load("runs/junior")

Options are the fields of `FitConfig`, `ModelConfig` and `DistilConfig`, the same as on the command line;
those that are not given have the recommended values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from kge_data.tripleset import TripleSet
from mulde.errors import unknown
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.storage.run_folder import open_model
from mulde.kge.training import stage
from mulde.kge.training.options import DistilConfig, FitConfig
from mulde.kge.training.presets import defaults

load = open_model


def train(
    scorer: str | type[Scorer], graph: TripleSet, *, folder: Path | str | None = None, **options: Any
) -> KGEModel:
    """Train a scorer on hard labels and return the model of the best evaluation.

    ``scorer`` is a name of `mulde list scorers`, or a class of your own. ``folder`` keeps model, log and
    checkpoints; the same call again continues or reuses what is there. Raises UsageError for an unknown option.
    """
    fit, shape = _options((FitConfig, ModelConfig), graph, options)
    return stage.train(scorer, graph, fit, shape, None if folder is None else Path(folder)).model


def distil(
    scorer: str | type[Scorer],
    teachers: Sequence[nn.Module | Path | str],
    graph: TripleSet,
    *,
    folder: Path | str | None = None,
    **options: Any,
) -> KGEModel:
    """Distil teachers into a Junior: run folders, bundles, or models (PyKEEN's: `mulde.pykeen.open_teacher`).

    Everything else as for `train`.
    """
    ensemble = [teacher if isinstance(teacher, nn.Module) else Path(teacher) for teacher in teachers]
    (config,) = _options((DistilConfig,), graph, options)
    return stage.distil(scorer, ensemble, graph, config, None if folder is None else Path(folder)).model


def _options(kinds: tuple[type[Any], ...], graph: TripleSet, options: dict[str, Any]) -> list[Any]:
    """The configurations with these options and the recommended values of the others."""
    names = frozenset(field.name for kind in kinds for field in fields(kind))
    for name in options:
        if name not in names:
            raise unknown("option", name, names, "mulde distil --help")
    values = {**defaults({"data": graph.name}, names), **options}

    def made(kind: type[Any]) -> Any:
        return kind(**{field.name: values[field.name] for field in fields(kind) if field.name in values})

    return [made(kind) for kind in kinds]
