"""PyKEEN models, one for every scorer in ``mulde/kge/scorers``: ``RotH`` is ``mulde.pykeen.models.RotH``.

Tables, initial values and options are those of :class:`mulde.kge.model.kge_model.KGEModel`; scores come from the
same functions. Train and evaluate them with inverse triples, as their authors do; ``score_h`` is slow, because it
transforms every entity for every query. (PyKEEN's command line reads the annotations of ``__init__`` at run time, so
they are not postponed here.)
"""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from class_resolver import HintOrType
from pykeen.losses import BCEWithLogitsLoss, Loss
from pykeen.models import ERModel
from pykeen.nn.representation import Embedding
from pykeen.regularizers import Regularizer, regularizer_resolver
from torch import Tensor, nn

from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_terms import MASKED
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.pykeen.interactions import SCORERS, interaction_class, raw_curvature, refuse_unknown
from mulde.pykeen.manifold import BallEmbedding


class ScorerModel(ERModel[Any, Any, Any]):
    """A scorer with its tables, as an ordinary PyKEEN model.

    Parameters
    ----------
    embedding_dim
        Dimension d of entities and relations; even for scorers that rotate or reflect pairs of coordinates.
    curvature, initial_curvature, distance, bias, init_scale, rotation_init, parametrization, artanh_limit
        As in :class:`mulde.kge.model.config.ModelConfig`. Those of curvature and distance have no effect in flat space.
    regularizer, regularizer_kwargs
        A PyKEEN regularizer of entity and relation vectors; not of angles, where only directions
        count, nor of matrices.
    **kwargs
        ``triples_factory``, ``loss``, ``loss_kwargs``, ``predict_with_sigmoid``, ``random_seed``: see PyKEEN.

    Raises
    ------
    UsageError
        For an odd dimension, a choice that does not exist, or manifold parameters without a fixed curvature.
    """

    scorer: ClassVar[type[Scorer]]
    hpo_default: ClassVar[Mapping[str, Any]] = {"embedding_dim": {"type": int, "low": 8, "high": 64, "q": 8}}
    loss_default: ClassVar[type[Loss]] = BCEWithLogitsLoss  # ``pipeline`` does not use it
    loss_default_kwargs: ClassVar[Mapping[str, Any]] = {}

    def __init__(  # type: ignore[no-untyped-def]  # an annotated **kwargs becomes an option --kwargs
        self,
        *,
        embedding_dim: int = 32,
        curvature: str = "per-relation",
        initial_curvature: float = ModelConfig.initial_curvature,
        bias: str = "separate",
        init_scale: float = 1e-3,
        rotation_init: str = "uniform",
        parametrization: str = "tangent",
        artanh_limit: float | None = None,
        distance: str = "geodesic",
        regularizer: HintOrType[Regularizer] = None,
        regularizer_kwargs: Mapping[str, Any] | None = None,
        **kwargs,
    ) -> None:
        refuse_unknown(
            curvature=curvature, bias=bias, rotation_init=rotation_init, parametrization=parametrization,
            distance=distance,
        )  # fmt: skip
        config = ModelConfig(
            dim=embedding_dim, initial_curvature=initial_curvature, init_scale=init_scale,
            curvature=cast(Any, curvature), bias=cast(Any, bias), rotation_init=cast(Any, rotation_init),
            parametrization=cast(Any, parametrization), artanh_limit=artanh_limit, distance=cast(Any, distance),
        )  # fmt: skip
        KGEModel(self.scorer, 1, 1, config)  # checks the options
        shared_regularizer = cast(Any, regularizer_resolver).make_safe(regularizer, regularizer_kwargs)

        normal = {"initializer": nn.init.normal_, "initializer_kwargs": {"std": init_scale}}
        uniform = {"initializer": nn.init.uniform_, "initializer_kwargs": {"a": -1.0, "b": 1.0}}
        vector = {"shape": embedding_dim, "regularizer": shared_regularizer}
        directions = {"shape": embedding_dim, **(uniform if rotation_init == "uniform" else normal)}
        matrix = {"shape": (embedding_dim, embedding_dim), **normal}
        starts = {"vector": {**vector, **normal}, "angles": directions, "matrix": matrix}
        raw = {"val": raw_curvature(initial_curvature)}
        of_curvature = {"shape": (), "initializer": nn.init.constant_, "initializer_kwargs": raw}
        on_ball = {**vector, "curvature": initial_curvature, "init_scale": init_scale}
        points = BallEmbedding if parametrization == "manifold" else Embedding
        biases = {"separate": 2, "shared": 1, "none": 0}[bias]
        per_relation = self.scorer.hyperbolic() and curvature == "per-relation"
        super().__init__(
            interaction=interaction_class(self.scorer),
            interaction_kwargs={
                "curvature": curvature, "initial_curvature": initial_curvature, "bias": bias,
                "parametrization": parametrization, "artanh_limit": artanh_limit, "distance": distance,
            },
            entity_representations=[points, *[Embedding] * biases],
            entity_representations_kwargs=[
                on_ball if parametrization == "manifold" else starts["vector"],
                *[{"shape": (), "initializer": nn.init.zeros_}] * biases,
            ],
            relation_representations_kwargs=[
                *(starts[kind] for kind in self.scorer.relation.values()),
                *[of_curvature] * per_relation,
            ],
            **kwargs,
        )  # fmt: skip
        self.config = config
        self.self_loops: Tensor
        self.register_buffer("self_loops", torch.ones(self.num_relations, dtype=torch.bool))

    # In eval mode the query entity is masked for relations without self-loops, as in `KGEModel`. PyKEEN's training does
    # not determine self-loops, so nothing is masked before the weights of a trained `KGEModel` are loaded.

    def score_hrt(self, hrt_batch: Tensor, **options: Any) -> Tensor:
        """As in PyKEEN."""
        heads, relations, tails = hrt_batch.split(1, 1)
        return self._masked(super().score_hrt(hrt_batch, **options), heads, relations, tails)

    def score_t(self, hr_batch: Tensor, *, tails: Tensor | None = None, **options: Any) -> Tensor:
        """As in PyKEEN."""
        every = self._every(self.num_entities) if tails is None else tails
        scores = super().score_t(hr_batch, tails=tails, **options)
        heads, relations = hr_batch.split(1, 1)
        return self._masked(scores, heads, relations, every)

    def score_h(self, rt_batch: Tensor, *, heads: Tensor | None = None, **options: Any) -> Tensor:
        """As in PyKEEN."""
        every = self._every(self.num_entities) if heads is None else heads
        relations, tails = rt_batch.split(1, 1)
        return self._masked(super().score_h(rt_batch, heads=heads, **options), every, relations, tails)

    def score_r(self, ht_batch: Tensor, *, relations: Tensor | None = None, **options: Any) -> Tensor:
        """As in PyKEEN."""
        every = self._every(self.num_relations) if relations is None else relations
        heads, tails = ht_batch.split(1, 1)
        return self._masked(super().score_r(ht_batch, relations=relations, **options), heads, every, tails)

    def _masked(self, scores: Tensor, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """Scores with masked self-loops; the ids broadcast to them."""
        return scores if self.training else scores.masked_fill((heads == tails) & ~self.self_loops[relations], MASKED)

    def _every(self, count: int) -> Tensor:
        return torch.arange(count, device=self.self_loops.device)

    def unmask_self_loops(self) -> "ScorerModel":
        """Allow the query entity as an answer of every relation; returns the model."""
        self.self_loops.fill_(True)
        return self

    def without_mask(self) -> "ScorerModel":
        """A model that shares the parameters of this one and masks no self-loops."""
        model = copy.copy(self)
        model._buffers = {**self._buffers, "self_loops": torch.ones_like(self.self_loops)}
        return model

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy the tables and self-loops in a state dict of ``KGEModel``."""
        for name, table in self.tables().items():
            table.copy_(weights[name].view_as(table))
        self.self_loops.copy_(weights["self_loops"])

    def tables(self) -> dict[str, nn.Parameter]:
        """The parameters under the names of ``KGEModel``'s state dict; scalars have shape (rows, 1) here."""
        entity, *biases = (next(table.parameters()) for table in self.entity_representations)
        relation = [next(table.parameters()) for table in self.relation_representations]
        named = {"entity": entity}
        if biases:
            named |= {"head_bias": biases[0], "tail_bias": biases[-1]}
        named |= {f"relation.{name}": table for name, table in zip(self.scorer.relation, relation)}  # noqa: B905
        if self.interaction.curvature == "per-relation":
            named["raw_curvature"] = relation[-1]
        elif self.interaction.curvature == "global":
            named["raw_curvature"] = cast(nn.Parameter, self.interaction.raw_curvature)
        return named


def model_class(scorer: type[Scorer]) -> type[ScorerModel]:
    """The PyKEEN model of a scorer; for one outside ``mulde/kge/scorers`` a new class, which cannot be pickled."""
    known: Any = globals().get(scorer.__name__)
    if getattr(known, "scorer", None) is scorer:
        return known
    doc = f"{scorer.__name__} as a PyKEEN model; the formula and its source are in ``{scorer.__module__}``."
    doc += f"\n\n---\nname: {scorer.__name__}\n"  # for ``pykeen ls``, which would cite PyKEEN's paper otherwise
    return type(scorer.__name__, (ScorerModel,), {"scorer": scorer, "__doc__": doc, "__module__": __name__})


# Module-level names, because pickle stores a class by the name under which it can be imported.
MODELS = [model_class(scorer) for scorer in SCORERS]
globals().update({model.__name__: model for model in MODELS})
