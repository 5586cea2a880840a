"""Training of several sizes in one model: the mean of a method's losses over crops of its student.

    L = 1/n Σ_d L_method(the first d coordinates of the student),   d in the option ``dims``

Works with every method: the method of a smaller size is a copy in which a `Crop` takes the student's place. All sizes
see the same batch and, where a method takes the student's best entities as candidates, the same candidates, so that
the teachers are queried once. Other networks that learn, such as MulDE's Senior, exist once for each size.

Source: Kusupati et al. 2022, "Matryoshka Representation Learning", equation 1 with equal weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method, Setup
from mulde.engine.frozen import is_frozen
from mulde.errors import UsageError
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.nested import Crop, crops_of

ModuleType = TypeVar("ModuleType", bound=nn.Module)


Metrics = Mapping[str, float]


def nested(setup: Setup, student: KGEModel, validate: Callable[[KGEModel], Metrics]) -> Setup:
    """A setup that trains a method at each of the student's ``dims``.

    Parameters
    ----------
    validate
        Metrics of a model, for a setup without an evaluation of its own.

    Raises
    ------
    UsageError
        With sparse gradients.
    """
    if student.sparse_gradients:
        raise UsageError("sparse updates do not work with several dims; leave out --sparse, or train a single --dim")

    @torch.no_grad()
    def evaluate(method: Nested, clock: Clock) -> Metrics:
        """Metrics of each size, named "valid/mrr@8", and their means over the sizes, "valid/mrr"."""
        models = (*reversed(method.crops), student)
        found = {
            dim: validate(model) if setup.evaluate is None else setup.evaluate(each, clock)
            for (dim, each), model in zip(method.by_size().items(), models, strict=True)
        }
        names = found[student.config.dim]
        means = {name: sum(metrics[name] for metrics in found.values()) / len(found) for name in names}
        return {**means, **{f"{name}@{dim}": metrics[name] for dim, metrics in found.items() for name in names}}

    return replace(setup, method=Nested(setup.method, student), evaluate=evaluate)


class Nested(Method):
    """A method, and a copy of it for each smaller size of the student; its terms are named "learner/term@size"."""

    def __init__(self, method: Method, student: KGEModel):
        super().__init__()
        self.dims, self.crops = student.config.dims, crops_of(student)
        smaller = [_with(crop, student, method) for crop in reversed(self.crops)]
        self.methods = nn.ModuleList([*smaller, method])
        self.isolated = method.isolated
        self.cross_terms = {(f"{term}@{dim}", learner) for term, learner in method.cross_terms for dim in self.dims}

    def by_size(self) -> dict[int, Any]:
        """The method of each size, with tables of this moment."""
        for crop in self.crops:
            crop.renew()
        return dict(zip(self.dims, self.methods, strict=True))

    def learners(self) -> dict[str, Any]:
        each = [method.learners() for method in self.by_size().values()]
        return {name: [parameter for learners in each for parameter in learners[name]] for name in each[-1]}

    def losses(self, batch: Any, clock: Clock) -> dict[str, Tensor]:
        return {
            f"{term}@{dim}": loss / len(self.dims)
            for dim, method in self.by_size().items()
            for term, loss in method.losses(batch, clock).items()
        }

    def after_update(self, clock: Clock) -> None:
        for method in self.by_size().values():
            method.after_update(clock)

    def predict(self, batch: Any) -> Tensor:
        """The prediction of the largest size."""
        found: Tensor = self.by_size()[self.dims[-1]].predict(batch)
        return found

    def diagnostics(self, clock: Clock) -> dict[str, float]:
        """Those of each size."""
        return {
            f"{name}@{dim}": value
            for dim, method in self.by_size().items()
            for name, value in method.diagnostics(clock).items()
        }

    def exported(self) -> dict[str, nn.Module]:
        """Those of the largest size, whose student holds all sizes."""
        found: dict[str, nn.Module] = self.by_size()[self.dims[-1]].exported()
        return found


def _with(crop: Crop, student: KGEModel, module: ModuleType) -> Any:
    """A copy of a module in which a crop replaces the student; frozen modules and what is no tensor are shared."""
    if module is student:
        return crop
    if is_frozen(module):
        return module
    twin = copy.copy(module)
    twin.__dict__ |= {
        "_parameters": {name: copy.deepcopy(table) for name, table in module._parameters.items()},
        "_buffers": {name: copy.deepcopy(table) for name, table in module._buffers.items()},
        "_modules": {name: child and _with(crop, student, child) for name, child in module._modules.items()},
    }
    return twin
