"""Predictions with an exported model on ONNX Runtime. Imports no torch.

from mulde.kge.inference.onnx_runtime import OnnxScorer

scorer = OnnxScorer("umls-onnx.zip")  # written by `mulde export RUN --to onnx --out umls-onnx.zip`
scorer.predict(head="virus", relation="causes", top=3)
scorer.score_all(np.array([3]), np.array([14]))  # (1, e); relation ids as in `kge_data.inverse`

The ONNX model holds the embeddings only. What the graph adds is in ``ranking.json``: "masked", the relations of the
graph whose self-loops are masked, and "graph_prior", the weights of the graph prior by internal relation, or null.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.filters import KnownAnswers
from kge_data.inverse import forward_id, num_internal, reciprocal_id
from kge_data.keys import Ids
from kge_data.tripleset import TripleSet
from mulde import schema
from mulde.config.values import Threads, typed
from mulde.errors import MissingExtra, UsageError
from mulde.kge.evaluation.calibration import Calibration, open_calibration
from mulde.kge.inference import query
from mulde.kge.inference.best import Best, distinct_queries
from mulde.kge.inference.predictor import Predictor
from mulde.kge.inference.results import Answers
from mulde.kge.model.graph_terms import GraphTerms
from mulde.kge.model.prior_index import PriorIndex
from mulde.kge.storage import bundle
from mulde.schema import contents

ONNX, KEY, FORMAT = "model.onnx", "mulde", "mulde onnx 2"  # file in a bundle; key of the metadata and its value
RANKING = "ranking.json"
ROWS = 64  # queries per call of the session

SOURCE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (/\S+:\d+ .*?\) )?")  # prefix of onnxruntime's errors


class OnnxScorer(Predictor):
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
        content = found.file(ONNX)
        self.session = session(content, threads, str(place))
        self.place, self.checksum = Path(place), checksum(content)
        self.graph: TripleSet = found.graph()
        self.num_entities, self.num_relations = self.graph.num_entities, self.graph.num_relations
        _refuse_other_shapes(self.session, self.num_entities, f"{place}/{ONNX}")
        self.dtype = np.float32
        self.terms = _terms(found.file(RANKING), f"{place}/{RANKING}", self.graph)

    def score_all(self, heads: Ids, relations: Ids) -> NDArray[np.float32]:
        """Scores (b, e) of all entities by embeddings only, for heads (b,) and internal relations (b,)."""
        ids = {"heads": np.asarray(heads, np.int64), "relations": np.asarray(relations, np.int64)}
        try:
            scores: NDArray[np.float32] = self.session.run(None, ids)[0]
        except Exception as error:  # onnxruntime's errors have no common class
            raise UsageError(f"{self.place}/{ONNX}: {_reason(error)}; {schema.DAMAGED}") from error
        if scores.shape != (len(heads), self.num_entities):
            raise UsageError(
                f"{self.place}/{ONNX}: expected scores of shape {(len(heads), self.num_entities)}, found "
                f"{scores.shape}; {schema.DAMAGED}"
            )
        return scores

    def refuse_other_graph(self, graph: TripleSet) -> None:
        """Raise UsageError if a graph has other names, or other ids, than the bundle."""
        if (graph.entities, graph.relations) != (self.graph.entities, self.graph.relations):
            raise UsageError(
                f"{self.place} holds the names and known answers of its graph, {self.graph.name}, and {graph.name} has "
                "other names; leave the graph out"
            )

    def calibration(self) -> Calibration | None:
        """The calibration of probabilities in the bundle; None if there is none."""
        return open_calibration(self.place, self.checksum, self.num_relations)

    def predict(
        self, *, relation: str | None = None, head: str | None = None, tail: str | None = None, top: int = 10,
        exclude_known: bool = False, embeddings_only: bool = False,
    ) -> Answers:  # fmt: skip
        """The answers to one query, with probabilities if the bundle has a calibration; see `mulde.predict`."""
        return query.predict(
            self, self.graph, relation=relation, head=head, tail=tail, top=top, exclude_known=exclude_known,
            embeddings_only=embeddings_only, calibration=self.calibration(),
        )  # fmt: skip

    def best_tails(
        self, heads: Ids, relations: Ids, k: int, leave_out: KnownAnswers | None = None, embeddings_only: bool = False
    ) -> Best:
        heads, relations, again = distinct_queries(heads, relations, num_internal(self.num_relations))
        found = Best.empty(len(heads), k, self.num_entities, self.dtype)
        for rows, scores in self._blocks(heads, relations):
            if not embeddings_only:
                self.terms.add_(scores, heads[rows], relations[rows])
            pairs = None if leave_out is None else leave_out.gather(heads[rows], relations[rows])
            outside = None if self.among is None else self.among.outside(relations[rows], self.num_entities)
            found.fill_best(rows, scores, pairs, outside)
        return Best(found.ids[again], found.scores[again], found.ranks[again])

    def embedding_scores(self, heads: Ids, relations: Ids, tails: Ids) -> NDArray[Any]:
        both = np.empty((len(heads), 2), self.dtype)
        directions = (heads, forward_id(relations), tails), (tails, reciprocal_id(relations), heads)
        for column, (given, internal, answer) in enumerate(directions):
            own, kinds, query_of = distinct_queries(given, internal, num_internal(self.num_relations))
            order = np.argsort(query_of, kind="stable")
            starts = np.searchsorted(query_of[order], np.arange(len(own) + 1))
            for rows, scores in self._blocks(own, kinds):
                triples = order[starts[rows[0]] : starts[rows[-1] + 1]]
                both[triples, column] = scores[query_of[triples] - rows[0], answer[triples]]
        return both

    def identity(self) -> dict[str, Any]:
        return {"model": self.checksum}

    def _blocks(self, heads: Ids, relations: Ids) -> Iterator[tuple[Ids, NDArray[np.float32]]]:
        """Yield consecutive rows of queries (b,), and their scores by embeddings only."""
        for start in range(0, len(heads), ROWS):
            rows = np.arange(start, min(start + ROWS, len(heads)))
            yield rows, self.score_all(heads[rows], relations[rows])


def is_onnx(model: Path | str) -> bool:
    """Whether a path is a bundle with an ONNX model."""
    place = Path(model)
    return bundle.is_bundle(place) and ONNX in bundle.names(place)


def checksum(content: bytes) -> str:
    """SHA-256 of an ONNX model, by which a calibration belongs to it."""
    return hashlib.sha256(content).hexdigest()


def ranking(terms: GraphTerms) -> bytes:
    """Content of ``ranking.json``."""
    masked = np.flatnonzero(~terms.self_loops[::2]).tolist()
    weights = None if terms.weights is None else terms.weights.tolist()
    return json.dumps({"masked": masked, "graph_prior": weights}).encode()


def _terms(written: bytes, where: str, graph: TripleSet) -> GraphTerms:
    """Content of ``ranking.json``; UsageError if it is of another graph."""
    content = schema.parse(written, where, contents.RANKING)
    masked, weights = content["masked"], content["graph_prior"]
    if any(relation >= graph.num_relations for relation in masked):
        raise UsageError(
            f"{where}: expected ids of {graph.num_relations} relations, found {max(masked)}; {schema.DAMAGED}"
        )
    if weights is not None and len(weights) != num_internal(graph.num_relations):
        raise UsageError(
            f"{where}: expected {num_internal(graph.num_relations)} weights of the graph prior, found {len(weights)}; "
            f"{schema.DAMAGED}"
        )
    self_loops = np.ones((graph.num_relations, 2), dtype=bool)
    self_loops[masked] = False
    if weights is None:
        return GraphTerms(self_loops.ravel())
    index = PriorIndex(graph.train, num_internal(graph.num_relations))
    return GraphTerms(self_loops.ravel(), np.array(weights, np.float32), index)


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
    threads = typed(threads, Threads, "`threads`")
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 4  # errors are reported below
    try:
        opened = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )  # fmt: skip
    except Exception as error:  # onnxruntime's errors have no common class
        raise UsageError(
            f"{where}: onnxruntime {onnxruntime.__version__} cannot open it ({_reason(error)}); it is damaged, or made "
            "for another version; update onnxruntime, or export the model again"
        ) from error
    found = opened.get_modelmeta().custom_metadata_map.get(KEY)
    if found != FORMAT:
        raise UsageError(f"{where}: expected an ONNX model of format '{FORMAT}', found {found!r}; export it again")
    return opened


def _refuse_other_shapes(opened: Any, num_entities: int, where: str) -> None:
    """Raise UsageError if a session does not map heads and relations to scores of all entities."""
    inputs = {(each.name, each.type, len(each.shape)) for each in opened.get_inputs()}
    outputs = [(each.type, each.shape[1:]) for each in opened.get_outputs()]
    if inputs != {(name, "tensor(int64)", 1) for name in ("heads", "relations")} or outputs != [
        ("tensor(float)", [num_entities])
    ]:
        raise UsageError(
            f"{where}: expected heads (b) and relations (b) as inputs and scores (b, {num_entities}) as output, found "
            f"{sorted(inputs)} and {outputs}; {schema.DAMAGED}"
        )


def _reason(error: Exception) -> str:
    """An error of onnxruntime in one line, without the place in its source."""
    return SOURCE.sub("", next(iter(str(error).splitlines()), type(error).__name__))


def _existing(place: Path) -> Path:
    if not place.exists():
        raise UsageError(f"{place}: no such file or folder; expected a bundle of `mulde export --to onnx`")
    return place
