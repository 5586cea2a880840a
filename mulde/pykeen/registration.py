"""Registration of our models, interactions, representation and optimiser by name in PyKEEN; idempotent."""

import warnings
from typing import Any, cast

from class_resolver import ClassResolver
from geoopt.optim import RiemannianAdam
from pykeen.models import model_resolver
from pykeen.nn import representation_resolver
from pykeen.nn.modules import interaction_resolver
from pykeen.optimizers import optimizer_resolver, optimizers_hpo_defaults
from torch.optim import Adam

from mulde.geometry.spaces import Bilinear
from mulde.pykeen.interactions import INTERACTIONS
from mulde.pykeen.manifold import BallEmbedding
from mulde.pykeen.models import MODELS

SYNONYMS = {"HyperbolicTransE": ("transeh", "hypertranse"), "DistH": ("hyperbolicdistmult",)}
""""TransH", the name of HyperbolicTransE in the MulDE paper, is left out: in PyKEEN it is the model of 2014."""


def register() -> None:
    """Register everything but bilinear scorers, which PyKEEN has itself.

    A name that PyKEEN uses already is skipped with a warning.
    """
    for model, interaction in zip(MODELS, INTERACTIONS, strict=True):
        if not issubclass(model.scorer.space, Bilinear):
            synonyms = SYNONYMS.get(model.__name__, ())
            _add(model_resolver, model, synonyms)
            _add(interaction_resolver, interaction, synonyms)
    _add(representation_resolver, BallEmbedding)
    _add(optimizer_resolver, RiemannianAdam)
    # without an entry `hpo_pipeline` refuses the optimiser
    cast(dict[type, Any], optimizers_hpo_defaults)[RiemannianAdam] = optimizers_hpo_defaults[Adam]


def _add(resolver: ClassResolver[Any], element: type, synonyms: tuple[str, ...] = ()) -> None:
    for name in (element.__name__, *synonyms):
        table = resolver.synonyms if name in synonyms else resolver.lookup_dict
        key = resolver.normalize(name)
        owner = resolver.lookup_dict.get(key, resolver.synonyms.get(key))
        if owner is None:
            table[key] = element
        elif owner is not element:
            warnings.warn(
                f'"{name}" already means {owner.__module__}.{owner.__name__} in PyKEEN and stays so; '
                f"pass the class {element.__module__}.{element.__name__} instead of its name",
                stacklevel=3,
            )
