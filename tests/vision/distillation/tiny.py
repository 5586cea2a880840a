"""Words of a command that trains an image method in a second, for every method of the catalogue."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from mulde.config import hints_of
from mulde.vision.distillation.method_file import configured, open_method

OPTIONS: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 24,
    "student": "cnn-4-6",
    "teacher": "cnn-4-8",
    "partner": "cnn-4-8",
    "peer": ("cnn-4-6", "cnn-4-6"),
    "views": "small",
    "rounds": 2,
    "clients": 2,
    "per_round": 1,
    "partition": "iid",
    "pretraining_epochs": 1,
    "pretraining_batch_size": 24,
    "finetuning_epochs": 1,
    "shots": 1,
    "width": 8,
    "hidden": 8,
    "teacher_epochs": 1,
    "prototype_epochs": 1,
    "teacher_batch_size": 24,
    "teacher_width": 8,
    "teacher_hidden": 8,
    "stages": 2,
    "sides": (6.0, 12.0),
    "dimension": 8,
    "before": 20,
    "proposals": 8,
    "tower": 1,
    "trajectories": 1,
    "tasks": 1,
}
"""Values of the options that methods have; of `stages` only that of detectors."""
OTHERS: dict[str, dict[str, Any]] = {
    "cosub": {"student": "resnet8", "channels": 4},
    "tinymim": {"student": "vit-8-2-2-patch4", "teacher": "vit-12-2-2-patch4"},
    "fs_ban": {"ways": 2, "shots": 1, "queries": 1, "episodes": 4},
    "cudfkd": {"updates": 4},
}
"""Values of a method that trains no plain network."""


def words(name: str, **changes: Any) -> list[str]:
    """The words after `mulde` for a method and small data."""
    module = open_method(name)
    known = hints_of(module.Config)
    if str(getattr(configured(module), "student", "")).startswith("deit-"):
        changes = {"student": "deit-8-2-2-patch4", **changes}
    found = ["distil", "--method", name, "--data", data_for(module), "--threads", "1", "--device", "cpu"]
    for option, value in {
        **{key: value for key, value in OPTIONS.items() if key in known},
        **OTHERS.get(name, {}),
        **changes,
    }.items():
        for one in value if isinstance(value, tuple) else (value,):
            found += [f"--{option.replace('_', '-')}", str(one)]
    return found


def data_for(module: ModuleType) -> str:
    """Data of the kind that a method needs."""
    if module.NEEDS.domains:
        return "rotations"
    return "scenes:40,size=24" if module.NEEDS.data == "boxes" else "shapes:128,size=8"
