"""Any PyKEEN model as a teacher. It is queried by our ids, which are matched to its ids by name.

A tail query (h, r, ?) becomes ``predict_t``, a head query (?, r, t) ``predict_h``, for models with and without inverse
relations alike.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from pykeen.models import ERModel, Model
from pykeen.triples import TriplesFactory
from pykeen.typing import Target
from torch import Tensor, nn

from kge_data.inverse import is_reciprocal, user_relation
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.teachers.ensemble import match
from mulde.pykeen.folders import PICKLE, TRIPLES
from mulde.pykeen.graphs import read_factory
from mulde.pykeen.models import ScorerModel


class PyKEENTeacher(nn.Module):
    """A trained PyKEEN model with the two methods of a teacher, ``score`` and ``score_all``.

    Scores are those of ``predict_t`` and ``predict_h``, without gradient, in the model's own scale.

    Parameters
    ----------
    model
        The model; it is used as it is, in evaluation mode.
    training
        The factory it was trained on, for its names; it may have more of them than the graph.
    graph
        The graph whose ids are used in queries and answers.
    scores_per_call
        Largest number of scores in one call; distance models hold a vector (d,) for each.
    name
        Name of the teacher in error messages.

    Raises
    ------
    UsageError
        If the model lacks an entity or a relation of the graph; the missing ones are listed.
    """

    entities: Tensor
    relations: Tensor

    def __init__(
        self,
        model: Model,
        training: TriplesFactory,
        graph: TripleSet,
        scores_per_call: int = 1 << 19,
        name: str = "the teacher",
    ) -> None:
        super().__init__()
        self.scores_per_call = scores_per_call
        model = model.eval()
        self.model = model.without_mask() if isinstance(model, ScorerModel) else model
        self.by_candidate = isinstance(model, ERModel)  # others may not accept candidates that differ by row
        entities = match("entities", graph.entities, training.entity_to_id, name)
        relations = match("relations", graph.relations, training.relation_to_id, name)
        self.register_buffer("entities", entities, persistent=False)
        self.register_buffer("relations", relations, persistent=False)
        self.trained_on = training.mapped_triples.numpy()  # in its own ids
        self.to(model.device)

    def score(self, heads: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
        """Scores of the tails ``ids``: (b,) of one tail each, or (b, c) of candidates."""
        if ids.dim() == 1:
            return self.score(heads, relations, ids.unsqueeze(-1)).squeeze(-1)
        if not self.by_candidate:
            return self.score_all(heads, relations).gather(1, ids.to(self.entities.device))
        scores = self._empty(*ids.shape)
        candidates = self.entities[ids.to(self.entities.device)]
        for rows, queries, target in self._queries(heads, relations, ids.shape[1]):
            with torch.inference_mode():
                part = self.model.predict(queries, target=target, full_batch=False, ids=candidates[rows])
            scores[rows] = part
        return scores

    def score_all(self, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores (b, e) of every entity of the graph."""
        scores = self._empty(len(heads), len(self.entities))
        for rows, queries, target in self._queries(heads, relations, len(self.entities)):
            with torch.inference_mode():
                part = self.model.predict(queries, target=target, full_batch=False)[:, self.entities]
            scores[rows] = part
        return scores

    def _queries(self, heads: Tensor, relations: Tensor, width: int) -> Iterator[tuple[Tensor, Tensor, Target]]:
        """Yield (rows, their queries in the model's ids and order (rows, 2), target)."""
        device = self.entities.device
        heads, relations = heads.to(device), relations.to(device)
        known, kind = self.entities[heads], self.relations[user_relation(relations)]
        backward = is_reciprocal(relations)
        directions: tuple[tuple[Target, Tensor, Tensor], ...] = (
            ("tail", ~backward, torch.stack([known, kind], 1)),
            ("head", backward, torch.stack([kind, known], 1)),
        )
        rows_per_call = max(1, self.scores_per_call // max(1, width))
        for target, chosen, query in directions:
            for rows in chosen.nonzero().squeeze(1).split(rows_per_call):
                if len(rows):
                    yield rows, query[rows], target

    def _empty(self, *shape: int) -> Tensor:
        """An ordinary tensor; one of inference mode would block the gradient of the Senior's gates."""
        dtype = next((table.dtype for table in self.model.parameters() if not table.is_complex()), None)
        return torch.empty(shape, dtype=dtype, device=self.entities.device)


def open_teacher(folder: Path | str, graph: TripleSet, allow_pickle: bool = False) -> PyKEENTeacher:
    """The teacher in a folder written by ``PipelineResult.save_to_directory``.

    Parameters
    ----------
    folder
        Holds ``trained_model.pkl`` and ``training_triples/``.
    graph
        The graph whose ids will be used.
    allow_pickle
        Whether to open the pickle, which can run any program that its author put into it.

    Raises
    ------
    UsageError
        Without allow_pickle, without the files, or for names that the teacher lacks.
    """
    folder = Path(folder)
    path = folder / PICKLE
    if not path.is_file():
        raise UsageError(f"{folder}: expected a PyKEEN result with {PICKLE} and {TRIPLES}/, found no {PICKLE}")
    if not allow_pickle:
        raise UsageError(
            f"{path}: a pickle can run any program when it is opened; give allow_pickle=True (--allow-pickle) if you "
            "made the file or trust its author"
        )
    training = read_factory(folder / TRIPLES)
    try:
        model = torch.load(path, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, ImportError, AttributeError, EOFError, RuntimeError) as error:
        raise UsageError(
            f"{path}: cannot be opened ({error}); it is damaged, or needs the packages it was written with"
        ) from error
    if not isinstance(model, Model):
        raise UsageError(f"{path}: expected a PyKEEN model, found {type(model).__name__}; name a pipeline's folder")
    return PyKEENTeacher(model, training, graph, name=f"teacher {folder}")
