"""Small, fast models out of big ones: distilled hyperbolic knowledge-graph embeddings, and vision models.

The names below are imported when first used, so `import mulde` costs nothing by itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; the same names as in _HOMES
    from mulde.engine import Clock, Method, Record, Trainer
    from mulde.errors import UsageError
    from mulde.kge.link_prediction import LinkPrediction, evaluate
    from mulde.kge.prediction import predict
    from mulde.kge.saved import graph_of
    from mulde.kge.workflow import distil, load, train
    from mulde.scorers.model import KGEModel, ModelConfig
    from mulde.scorers.scorer import Scorer

__version__ = "0.1.0"

_HOMES = {
    "Clock": "mulde.engine",
    "KGEModel": "mulde.scorers.model",
    "LinkPrediction": "mulde.kge.link_prediction",
    "Method": "mulde.engine",
    "ModelConfig": "mulde.scorers.model",
    "Record": "mulde.engine",
    "Scorer": "mulde.scorers.scorer",
    "Trainer": "mulde.engine",
    "UsageError": "mulde.errors",
    "distil": "mulde.kge.workflow",
    "evaluate": "mulde.kge.link_prediction",
    "graph_of": "mulde.kge.saved",
    "load": "mulde.kge.workflow",
    "predict": "mulde.kge.prediction",
    "train": "mulde.kge.workflow",
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
    "distil",
    "evaluate",
    "graph_of",
    "load",
    "predict",
    "train",
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
