"""Settings by name: what options take that nobody gives.

    recommended   ours: a falling learning rate, and MulDE without what looks like an accident in its code
    best          ours: one large bilinear teacher that answers once (`offline.py`), losses over all entities
    kgemb         Chami et al. 2020, the published example configurations for RotH at 32 dimensions; what they reach
                  here is measured by `benchmarks/fidelity.py`
    paper         MulDE's review-time code (arXiv 2010.07152): its constants, losses and gradient paths. Where it
                  differs: points are kept off the boundary (there only artanh is capped, as here), learned curvature
                  has a floor of 1e-4, teachers answer in their own precision (there float64), and there is patience

A preset may say something else for one graph; a graph that is not named takes what is said for all ("").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args

from mulde.errors import unknown
from mulde.kge.methods.mulde import MulDEConfig

PresetName = Literal["recommended", "best", "kgemb", "paper"]

# What others' codes do: every relation may answer with the entity asked about, and the graph is not looked at again.
EMBEDDINGS_ONLY = {"mask_self_loops": False, "graph_prior": False}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "recommended": {
        "": {"include_target": True},
        "fb15k-237": {"top_k": 200, "lr": 2e-3},
        "wn18rr": {"soft_weight": 0.01, "top_k": 200, "batch_size": 250},
    },
    "best": {
        "": {
            "method": "offline", "loss": "1vsall", "matmul_precision": "bfloat16", "curvature": "global", "epochs": 12,
            "optimizer": "adagrad", "lr": 0.1, "batch_size": 256, "schedule": "linear", "eval_every": 2,
            "soft_weight": 1.0, "top_k": 200,
            "teacher": ("complex",), "teacher_dim": 400, "teacher_n3": 0.05, "teacher_epochs": 8,
        },
        "fb15k-237": {
            "junior": "affineh", "soft_weight": 3.0, "temperature": 1.15, "epochs": 16, "teacher_epochs": 20,
        },
    },
    "kgemb": {
        "": {
            "epochs": 300, "batch_size": 500, "negatives": 50, "eval_every": 5, "dtype": "float64", "schedule": "constant",
            **EMBEDDINGS_ONLY,
        },
        "fb15k-237": {"optimizer": "adagrad", "lr": 5e-2, "patience": 10},
        "wn18rr": {"optimizer": "adam", "lr": 1e-3, "corrupt": "both", "patience": 15},
    },
    "paper": {
        "": {
            "curvature": "global", "rotation_init": "normal", "artanh_limit": 0.996, "optimizer": "adam", "lr": 5e-4,
            "batch_size": 500, "negatives": 255, "epochs": 1000, "eval_every": 1, "patience": 15, "schedule": "constant",
            "soft_weight": 0.5, "top_k": 500, "teacher_query_fraction": 1.0, "attention_gradient": True, **EMBEDDINGS_ONLY,
            "teacher": ("hyperbolic_transe", "disth", "roth", "refh"),
        },
        "wn18rr": {"soft_weight": 0.01},
    },
}  # fmt: skip


def defaults(options: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Values for the options ``names`` that the preset decides, given the ``preset`` and ``data`` chosen.

    Raises UsageError for a preset that does not exist.
    """
    name = options.get("preset") or "recommended"
    if name not in PRESETS:
        raise unknown("preset", name, get_args(PresetName), "--help")
    preset = PRESETS[name]
    values = preset[""] | preset.get(_graph_name(options.get("data")), {})
    return {key: value for key, value in values.items() if key in names}


def preset(name: PresetName, data: str = "", **changes: Any) -> MulDEConfig:
    """MulDE's configuration under a preset, for one graph or for any; keywords change single fields."""
    names = frozenset(field.name for field in fields(MulDEConfig))
    return MulDEConfig(**{**defaults({"preset": name, "data": data}, names), **changes})


def _graph_name(data: Any) -> str:
    """How presets call a graph: its name as in `mulde list data`, also where a folder of that name is given."""
    return Path(str(data or "")).name.lower().replace("_", "-")
