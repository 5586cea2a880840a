"""Rows of a table of networks, and the summary files of a run on images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from mulde.engine import Record
from mulde.engine.protocol import Task
from mulde.engine.provenance import environment
from mulde.files import read_json, utf8, write_atomically, write_json
from mulde.vision.data.images import Split
from mulde.vision.models.binary import is_binary, packed_size
from mulde.vision.training.evaluation import has_logits, network_metrics

SIZES = ("model", "parameters", "MB", "packed_MB", "multiply_adds", "binary_multiply_adds")
"""Columns of a row before its metrics."""


def rows_of(networks: Mapping[str, nn.Module], task: Task, data: Split[Any]) -> list[dict[str, Any]]:
    """A row for each network: parameters, megabytes of the weights, and metrics on the test part, if there is one.

    Where a network is binary, all have further columns, see `packed_size`.
    """
    rows, binary = [], any(is_binary(network) for network in networks.values())
    for name, network in networks.items():
        row: dict[str, Any] = {"model": name}
        tensors = network.state_dict().values()
        row["parameters"] = sum(parameter.numel() for parameter in network.parameters())
        row["MB"] = round(sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6, 3)
        if binary:
            row |= packed_size(network, torch.zeros(1, *data.train.images.shape[1:]))
        if len(data.test) and (task != "classify" or has_logits(network, data.test)):
            row |= network_metrics(network, task, data)
        rows.append(row)
    return rows


def summarise(
    folder: Path | None,
    about: Mapping[str, Any],
    task: Task,
    data: Split[Any],
    rows: list[dict[str, Any]],
    record: Record | None,
    figures: Mapping[str, float],
) -> dict[str, Any]:
    """Content of summary.json; it and settings.yaml are written into the folder, if there is one.

    Date and machine of the first call are kept where nothing was computed again.
    """
    sizes = {part: len(getattr(data, part)) for part in ("train", "valid", "test")}
    summary: dict[str, Any] = {
        "kind": "images",
        "task": task,
        **about,
        "data": {**about["data"], "classes": list(data.train.classes), "parts": sizes},
        "rows": rows,
        "figures": dict(figures),
        "seconds": None if record is None else round(record.seconds, 3),
    }
    if folder is None:
        return {**summary, **environment()}
    path = folder / "summary.json"
    found = read_json(path) or {}
    reused = all(found.get(name) == json.loads(json.dumps(summary))[name] for name in ("data", "rows"))
    summary = {**found, **summary} if reused else {**summary, **environment()}
    write_atomically(
        folder / "settings.yaml", utf8(yaml.safe_dump(about["settings"], sort_keys=False, allow_unicode=True))
    )
    write_json(path, summary)
    return summary
