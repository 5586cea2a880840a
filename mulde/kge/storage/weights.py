"""Reading the weights of a model, table by table, into the tables of the model itself.

Beside the model, a few blocks are in memory; see ``header.py`` for the file and ``quantisation.py`` for its types.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mulde import schema
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.storage.quantisation import QUANTISED, SCALE
from mulde.storage.archive import Checked
from mulde.storage.filling import fill
from mulde.storage.header import Table, read_header

PRIOR = "graph_prior.weights"
ROWS = 1 << 12  # of entities that are scaled at once


def read_model(
    stream: Checked, scorer: type[Scorer], num_entities: int, num_relations: int, config: ModelConfig, where: str
) -> tuple[KGEModel, Tensor | None]:
    """A model with the weights in a file, and the weights of its graph prior, if there are any.

    Raises
    ------
    UsageError
        If the options do not fit the scorer, or the tables are not those of such a model. Sizes are compared before
        the model is made.
    """
    tables = read_header(stream, where)
    _refuse_other_tables(tables, _shapes(scorer, num_entities, num_relations, config, where), scorer, where)
    model = KGEModel(scorer, num_entities, num_relations, config, seed=None)
    targets = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    others: dict[str, Tensor] = {}
    for table in tables:
        if table.name in (PRIOR, SCALE):
            targets[table.name] = others[table.name] = torch.empty(table.shape, dtype=model.entity.dtype)
        fill(targets[table.name].detach().view(-1), table, stream, where)
    if SCALE in others:
        _scale(model.entity.detach(), others[SCALE])
    return model, others.get(PRIOR)


def _scale(entities: Tensor, scale: Tensor) -> None:
    """Multiply entities (e, d), which hold 8-bit integers, by their scales (e,), in float32."""
    for start in range(0, len(entities), ROWS):
        rows = slice(start, start + ROWS)
        entities[rows] = entities[rows].float() * scale[rows].float().unsqueeze(1)


def _shapes(
    scorer: type[Scorer], num_entities: int, num_relations: int, config: ModelConfig, where: str
) -> dict[str, tuple[torch.Size, bool]]:
    """Shapes of the tables of a model, and whether they hold truth values; no table is made."""
    try:
        with torch.device("meta"):  # which has no points of a ball, but tangent vectors are of the same shape
            model = KGEModel(scorer, num_entities, num_relations, replace(config, parametrization="tangent"), seed=None)
    except RuntimeError as error:  # more elements than a tensor can have
        raise UsageError(f"{where}: does not describe a model ({str(error).splitlines()[0]})") from error
    tables = {**dict(model.named_parameters()), **dict(model.named_buffers())}  # a shared bias once, as in the file
    return {name: (table.shape, table.dtype == torch.bool) for name, table in tables.items()}


def _refuse_other_tables(
    tables: list[Table], expected: dict[str, tuple[torch.Size, bool]], scorer: type[Scorer], where: str
) -> None:
    names = {table.name for table in tables}
    rows = expected["self_loops"][0]
    optional = {PRIOR: (rows, False), SCALE: (expected[QUANTISED][0][:1], False)}
    if missing := sorted(expected.keys() - names):
        raise UsageError(f"{where}: not the weights of {scorer.__name__}, without {missing[0]}; {schema.DAMAGED}")
    for table in tables:
        shape, truth = {**optional, **expected}.get(table.name, ((), False))
        types = {"BOOL"} if truth else {"I8"} if table.name == QUANTISED and SCALE in names else {"F16", "F32", "F64"}
        if table.shape != tuple(shape) or table.dtype not in types:
            raise UsageError(
                f"{where}: not the weights of {scorer.__name__}: expected {list(shape) or 'no table'} of "
                f"{' or '.join(sorted(types))} for {table.name}, found {list(table.shape)} of {table.dtype}; "
                f"{schema.DAMAGED}"
            )
