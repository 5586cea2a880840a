"""Conversion of trained models in memory: ``KGEModel`` <-> PyKEEN's model of the same scorer."""

from dataclasses import replace

import torch
from pykeen.models import Model
from pykeen.triples import KGInfo
from pykeen.utils import NoRandomSeedNecessary

from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.model.kge_model import KGEModel
from mulde.pykeen.models import ScorerModel, model_class


def to_pykeen(model: KGEModel, graph: TripleSet) -> ScorerModel:
    """A copy of our model as an ordinary PyKEEN model, for PyKEEN's evaluators, predictions and tools.

    Scores are equal, up to rounding; the graph prior is not copied. Inverse relations have our internal ids
    (``kge_data.inverse``), and ``factories(graph)`` has the same ids. PyKEEN's training loops reset every model at the
    start, so the copy cannot be trained further there.

    Raises
    ------
    UsageError
        If the graph has other numbers of entities or relations than the model.
    """
    ours, theirs = (model.num_entities, model.num_relations), (graph.num_entities, graph.num_relations)
    if ours != theirs:
        raise UsageError(
            f"the model has {ours[0]:,} entities and {ours[1]:,} relations, "
            f"{graph.name} has {theirs[0]:,} and {theirs[1]:,}; pass the graph that the model was trained on"
        )
    options = {
        name: value
        for name, value in vars(model.config).items()
        if name not in ("dim", "dims", "dtype", "mask_self_loops", "graph_prior")
    }
    info = KGInfo(model.num_entities, model.num_relations, create_inverse_triples=True)
    with torch.random.fork_rng():  # initial values are drawn and then overwritten
        network = model_class(model.scorer)(
            triples_factory=info, embedding_dim=model.config.dim, random_seed=NoRandomSeedNecessary, **options
        )
    network.to(device=model.entity.device, dtype=model.entity.dtype)
    network.load_weights(model.state_dict())
    return network.train(model.training)


def from_pykeen(network: Model) -> KGEModel:
    """A copy of a PyKEEN model of one of our scorers as our own model.

    Any other PyKEEN model can still be a teacher: ``mulde.pykeen.teachers``.

    Raises
    ------
    UsageError
        If it is another model, or was trained without inverse triples.
    """
    if not isinstance(network, ScorerModel):
        raise UsageError(
            f"expected a PyKEEN model of one of our scorers, got {type(network).__name__}; as a teacher it can be used "
            "through mulde.pykeen.PyKEENTeacher"
        )
    if not network.use_inverse_triples:
        raise UsageError(
            f"this {type(network).__name__} was trained without inverse triples and has no vectors for "
            "reciprocal relations; train it on a factory with create_inverse_triples=True"
        )
    tables = network.tables()
    config = replace(network.config, dtype="float64" if tables["entity"].dtype == torch.float64 else "float32")
    model = KGEModel(network.scorer, network.num_entities, network.num_real_relations, config)
    weights = model.state_dict()
    weights |= {name: table.view_as(weights[name]) for name, table in tables.items()}
    model.load_state_dict({**weights, "self_loops": network.self_loops})
    return model.to(tables["entity"].device).train(network.training)
