"""Presets: values of the options that are not given.

    recommended   ours: a falling learning rate, and MulDE without what looks accidental in its code
    best          ours: one large bilinear teacher that is queried once (`offline.py`), losses over all entities
    kgemb         Chami et al. 2020, the published example configurations for RotH at 32 dimensions; their quality
                  here is measured by `benchmarks/quality/fidelity.py`. Artanh's argument has the limit of their code,
                  above which the gradient is zero (there it is that at the limit)
    paper         MulDE's review-time code (arXiv 2010.07152): its constants, losses and gradient paths. It differs in
                  the points listed in docs/methods/mulde.md

A preset may differ for a graph; the values under "" hold for all graphs that are not named. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from kge_data.spelling import spelled_as
from mulde.config import from_dict, hints_of
from mulde.errors import unknown

C = TypeVar("C")

PresetName = Literal["recommended", "best", "kgemb", "paper"]

EMBEDDINGS_ONLY = {"mask_self_loops": False, "graph_prior": False}  # as other codes do

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
            "epochs": 300, "batch_size": 500, "negatives": 50, "eval_every": 5, "dtype": "float64",
            "schedule": "constant", "artanh_limit": 0.99999, **EMBEDDINGS_ONLY,
        },
        "fb15k-237": {"optimizer": "adagrad", "lr": 5e-2, "patience": 10},
        "wn18rr": {"optimizer": "adam", "lr": 1e-3, "corrupt": "both", "patience": 15},
    },
    "paper": {
        "": {
            "curvature": "global", "rotation_init": "normal", "artanh_limit": 0.996, "optimizer": "adam", "lr": 5e-4,
            "batch_size": 500, "negatives": 255, "epochs": 1000, "eval_every": 1, "patience": 15,
            "schedule": "constant", "soft_weight": 0.5, "top_k": 500, "teacher_query_fraction": 1.0,
            "attention_gradient": True, **EMBEDDINGS_ONLY,
            "teacher": ("hyperbolic_transe", "disth", "roth", "refh"),
        },
        "wn18rr": {"soft_weight": 0.01},
    },
}  # fmt: skip


def defaults(options: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Values that the preset decides.

    Parameters
    ----------
    options
        The chosen ``preset`` and ``data``, and possibly others.
    names
        Names of the options that exist; values of a preset for others are left out.

    Raises
    ------
    UsageError
        For a preset that does not exist.
    """
    given = str(options.get("preset") or "recommended")
    name = spelled_as(given, PRESETS)
    if name is None:
        raise unknown("preset", given, get_args(PresetName), "--help-all")
    preset = PRESETS[name]
    graph = spelled_as(_graph_name(options.get("data")), preset)
    values = preset[""] | preset.get(graph or "", {})
    return {key: value for key, value in values.items() if key in names}


def chosen_method(options: Mapping[str, Any]) -> str:
    """The method that is given, otherwise that of the preset, otherwise mulde; ``options`` as for `defaults`."""
    return str(options.get("method") or defaults(options, frozenset({"method"})).get("method", "mulde"))


def configured(config_type: type[C], preset: str = "recommended", data: str = "", /, **changes: Any) -> C:
    """A Config with the values of a preset for one graph, or for any; keywords change single options, by name.

    Raises
    ------
    UsageError
        For an unknown preset or option, or an impossible value.
    """
    values = {**defaults({"preset": preset, "data": data}, frozenset(hints_of(config_type))), **changes}
    return from_dict(config_type, values, "options")  # type: ignore[type-var]


def _graph_name(data: Any) -> str:
    """Name of a graph, also where a folder or file of that name is given."""
    return Path(str(data or "")).name.partition(".")[0]
