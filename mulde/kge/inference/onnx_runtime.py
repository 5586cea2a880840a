"""Predictions with an exported model on ONNX Runtime. Imports no torch.

from mulde.kge.inference.onnx_runtime import OnnxScorer

scorer = OnnxScorer("umls-onnx.zip")  # written by `mulde export RUN --to onnx --out umls-onnx.zip`
scorer.predict(head="virus", relation="causes", top=3)
scorer.score_all(np.array([3]), np.array([14]))  # (1, e); relation ids as in `kge_data.inverse`
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.inverse import internal_id
from kge_data.tripleset import SPLITS, TripleSet
from mulde.errors import MissingExtra, UsageError
from mulde.kge.inference.results import Answer, Answers
from mulde.kge.storage import bundle

ONNX, KEY, FORMAT = "model.onnx", "mulde", "mulde onnx 1"  # file in a bundle; key of the metadata and its value
PRIOR = "graph_prior.json"  # weights of the graph prior by internal relation, if the model has one
MASKED = -1e9  # as in mulde/kge/model/scoring.py: about the score of a masked entity

SOURCE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (/\S+:\d+ .*?\) )?")  # prefix of onnxruntime's errors

Ids = NDArray[np.int64]


class OnnxScorer:
    """A model in a bundle of `mulde export --to onnx`.

    Parameters
    ----------
    place
        The bundle, a zip or a folder.
    threads
        Processor threads.

    Raises
    ------
    UsageError
        If there is no such bundle, it is damaged or of another format, or onnxruntime is missing or cannot open it.
    """

    def __init__(self, place: Path | str, threads: int = 1):
        found = bundle.read(_existing(Path(place)))
        self.graph: TripleSet = found.graph()
        self.session = session(found.file(ONNX), threads, str(place))
        self.weights: list[float] = json.loads(found.files.get(PRIOR, b"[]"))

    def score_all(self, heads: Ids, relations: Ids) -> NDArray[np.float32]:
        """Scores (b, e) of all entities for heads (b,) and internal relations (b,), without the graph prior."""
        ids = {"heads": np.asarray(heads, np.int64), "relations": np.asarray(relations, np.int64)}
        scores: NDArray[np.float32] = self.session.run(None, ids)[0]
        return scores

    def predict(
        self, *, relation: str, head: str | None = None, tail: str | None = None, top: int = 10,
        exclude_known: bool = False,
    ) -> Answers:  # fmt: skip
        """The best tails of (head, relation, ?) or heads of (?, relation, tail), as `mulde.predict`.

        Raises
        ------
        kge_data.UnknownName, kge_data.AmbiguousName
            With the nearest names, or the candidates.
        UsageError
            If not exactly one of head and tail is given.
        """
        if (head is None) == (tail is None):
            raise UsageError("predict needs exactly one of head and tail, and predicts the other one")
        graph = self.graph
        entity = graph.entity_id(head if head is not None else tail or "")
        kind = graph.relation_id(relation)
        internal = internal_id(kind, head is None)
        scores = self.score_all(np.array([entity]), np.array([internal]))[0]
        if self.weights:  # as in mulde/kge/model/graph_prior.py
            ends = graph.train[graph.train[:, 1] == kind][:, [2, 0] if head is None else [0, 2]]
            scores[np.unique(ends[ends[:, 0] != entity, 1])] += self.weights[internal]
        known = _known(graph, entity, kind, backward=head is None)
        own, link = graph.entity_label(entity), graph.relation_label(kind)
        answers = Answers(query=f"(?, {link}, {own})" if head is None else f"({own}, {link}, ?)")
        for place, candidate in enumerate(np.argsort(-scores, kind="stable").tolist(), 1):
            if len(answers) == top or scores[candidate] < MASKED / 2:
                break
            if not (exclude_known and candidate in known):
                name, label = graph.entities[candidate], graph.entity_label(candidate)
                answers.append(Answer(place, name, label, float(scores[candidate]), known.get(candidate)))
        return answers


def session(content: bytes, threads: int = 1, where: str = ONNX) -> Any:
    """An onnxruntime session on the CPU.

    Parameters
    ----------
    content
        An ONNX model, written by `mulde export`.
    threads
        Processor threads.
    where
        Path of the model, for messages.

    Raises
    ------
    UsageError
        If onnxruntime is missing or cannot open the model, or its format is another one.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("this needs onnxruntime, which is not installed; `pip install onnxruntime`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 4  # errors are reported below
    try:
        opened = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        reason = SOURCE.sub("", str(error).splitlines()[0])
        raise UsageError(
            f"{where}: onnxruntime {onnxruntime.__version__} cannot open it ({reason}); it is damaged, or made for "
            "another version; update onnxruntime, or export the model again"
        ) from error
    found = opened.get_modelmeta().custom_metadata_map.get(KEY)
    if found != FORMAT:
        raise UsageError(f"{where}: expected an ONNX model of format '{FORMAT}', found {found!r}; export it again")
    return opened


def _known(graph: TripleSet, entity: int, relation: int, backward: bool) -> dict[int, str]:
    """Known answers of a query -> the first split that contains them."""
    given, answer = (2, 0) if backward else (0, 2)
    known: dict[int, str] = {}
    for split in reversed(SPLITS):
        triples = getattr(graph, split)
        fitting = triples[(triples[:, given] == entity) & (triples[:, 1] == relation)]
        known |= dict.fromkeys(fitting[:, answer].tolist(), split)
    return known


def _existing(place: Path) -> Path:
    if not place.exists():
        raise UsageError(f"{place}: no such file or folder; expected a bundle of `mulde export --to onnx`")
    return place
