"""Evaluations kept in run folders: who was asked about what, and not once more while both are the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import nn

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.files import write_atomically
from mulde.kge.evaluation.link_prediction import Ranker, evaluate
from mulde.kge.model.kge_model import KGEModel


def judge(
    ranker: Ranker, graph: TripleSet, folder: Path, split: str, known: KnownAnswers | None = None, name: str = ""
) -> dict[str, Any]:
    """The report on a split, from ``<name or split>.json`` in the folder, or computed and written there.

    What is in the file counts where weights, triples and split are those asked for; otherwise it is replaced.
    """
    path = folder / f"{name or split}.json"
    asked = {"weights": weights_checksum(ranker), "checksum": graph.checksum, "split": split}
    found = _read(path)
    if asked.items() <= found.items():
        return found
    report = reported(ranker, graph, split, known)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(report, indent=2, ensure_ascii=False).encode())
    return report


def reported(
    ranker: Ranker,
    graph: TripleSet,
    split: str,
    known: KnownAnswers | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that an evaluation finds, with the checksum of the weights it was made of, as plain values.

    ``embeddings_only``, where the model has learned of loops or of the closed world: the realistic metrics without.
    """
    found = evaluate(ranker, graph, split, known, sample=sample, seed=seed)
    report = {"weights": weights_checksum(ranker), **found.report()}
    if isinstance(ranker, KGEModel) and not (ranker.graph_prior is None and bool(ranker.self_loops.all())):
        alone = evaluate(ranker, graph, split, known, sample=sample, seed=seed, embeddings_only=True)
        report["embeddings_only"] = alone.metrics()
    return report


def weights_checksum(ranker: Ranker) -> str:
    """SHA-256 over all tensors of a ranker and the configurations of its modules."""
    checksum = hashlib.sha256()
    for module in [ranker] if isinstance(ranker, nn.Module) else vars(ranker).values():
        for part in module.modules():
            checksum.update(f"{type(part).__name__} {getattr(part, 'config', '')}\n".encode())
        for name, tensor in module.state_dict().items():
            checksum.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            checksum.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return checksum.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """Nothing where there is no such file, or a damaged one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
