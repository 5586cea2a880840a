"""Small, fast models out of big ones: distilled hyperbolic knowledge-graph embeddings, and vision models.

The names below are imported when first used, so `import mulde` costs nothing by itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; the same names as in _HOMES
    from mulde.api import discover, distil, evaluate, run, train, tune
    from mulde.engine import Clock, Method, Record, Trainer
    from mulde.errors import UsageError
    from mulde.kge.evaluation.link_prediction import LinkPrediction
    from mulde.kge.model.config import ModelConfig
    from mulde.kge.model.kge_model import KGEModel
    from mulde.kge.model.scorer import Scorer
    from mulde.kge.storage.run_folder import graph_of
    from mulde.prediction import explain, load, predict

__version__ = "0.1.0"

_HOMES = {
    "Clock": "mulde.engine",
    "KGEModel": "mulde.kge.model.kge_model",
    "LinkPrediction": "mulde.kge.evaluation.link_prediction",
    "Method": "mulde.engine",
    "ModelConfig": "mulde.kge.model.config",
    "Record": "mulde.engine",
    "Scorer": "mulde.kge.model.scorer",
    "Trainer": "mulde.engine",
    "UsageError": "mulde.errors",
    "discover": "mulde.api",
    "distil": "mulde.api",
    "evaluate": "mulde.api",
    "explain": "mulde.prediction",
    "graph_of": "mulde.kge.storage.run_folder",
    "load": "mulde.prediction",
    "predict": "mulde.prediction",
    "run": "mulde.api",
    "train": "mulde.api",
    "tune": "mulde.api",
}

__all__ = [
    "Clock",
    "KGEModel",
    "LinkPrediction",
    "Method",
    "ModelConfig",
    "Record",
    "Scorer",
    "Trainer",
    "UsageError",
    "__version__",
    "discover",
    "distil",
    "evaluate",
    "explain",
    "graph_of",
    "load",
    "predict",
    "run",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mulde' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
