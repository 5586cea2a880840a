"""Models in run folders: weights, description and graph. Nothing is unpickled.

    model.safetensors                        the weights; a distilled Junior has its Senior beside it
    model.json                               scorer, options of the model, name and checksums of its graph
    entities.tsv, relations.tsv, known.npz   the graph that it was trained on (`kge_data.packed`)

Every function that opens a model also takes the folder of a whole `mulde run` (its recommended model), a bundle
(``bundle.py``) or the name of a pretrained model.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save

from kge_data import packed
from kge_data.tripleset import TripleSet
from mulde import catalogue
from mulde.errors import NotWritable, UsageError
from mulde.files import as_json, make_folder, sha256_of, write_atomically
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.nested import cropped, refuse_other_dim
from mulde.kge.model.scorer import Scorer
from mulde.kge.storage import bundle
from mulde.kge.storage.description import GRAPH_FILES, describe, open_file
from mulde.kge.storage.graph import graph_of, names_checksum, refuse_other_names, stored_graph, trained_on
from mulde.kge.storage.quantisation import Stored, narrow
from mulde.kge.storage.recommended import DESCRIPTION
from mulde.kge.storage.weights import PRIOR, read_model
from mulde.storage.archive import Checked
from mulde.storage.format import FORMAT

__all__ = [
    "DESCRIPTION", "PRIOR", "WEIGHTS", "describe", "find_scorer", "graph_of", "model_files", "names_checksum",
    "open_model", "save_model", "scorer_name", "stored_model",
]  # fmt: skip

WEIGHTS = bundle.WEIGHTS


def save_model(folder: Path, model: KGEModel, graph: TripleSet, source: str) -> None:
    """Write a model and its graph into a folder; every file atomically.

    Parameters
    ----------
    source
        Name or path that the graph was loaded by; empty for one in memory.
    """
    make_folder(folder)
    of_graph, of_model = packed.pack(graph), model_files(model, graph, source)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in of_graph.items()}
    description = as_json({**json.loads(of_model[DESCRIPTION]), GRAPH_FILES: digests})
    try:
        for name, content in {**of_graph, **of_model, DESCRIPTION: description}.items():
            write_atomically(folder / name, content)
    except NotWritable:
        if not _is_saved(folder, json.loads(description)):
            raise


def _is_saved(folder: Path, description: dict[str, Any]) -> bool:
    """Whether a folder has this model and graph already, perhaps with a graph that another zlib has compressed."""
    if not (folder / DESCRIPTION).exists():
        return False
    found = describe(folder)
    same = all(found[name] == description[name] for name in ("weights", "names"))
    return (
        same
        and found["data"]["checksum"] == description["data"]["checksum"]
        and sha256_of(folder / WEIGHTS) == found["weights"]
        and stored_graph(folder, found) is not None
    )


def model_files(model: KGEModel, graph: TripleSet, source: str, stored: Stored | None = None) -> dict[str, bytes]:
    """Contents of both files, weights first.

    Parameters
    ----------
    stored
        Precision of the tables, see ``quantisation.py``.
    """
    tables = {name: tensor.detach().cpu() for name, tensor in _weights(model).items()}
    weights = save({name: tensor.contiguous() for name, tensor in narrow(tables, stored).items()})
    description = {
        "format": FORMAT,
        "scorer": scorer_name(model.scorer),
        "model": asdict(model.config),
        "num_entities": model.num_entities,
        "num_relations": model.num_relations,
        "parameters": _parameters(model),
        "names": names_checksum(graph),
        "data": {"source": source, "name": graph.name, "checksum": graph.checksum, **_reading(graph)},
        "weights": hashlib.sha256(weights).hexdigest(),
    }
    return {WEIGHTS: weights, DESCRIPTION: json.dumps(description, indent=2).encode()}


def _reading(graph: TripleSet) -> dict[str, Any]:
    """The arguments that the source has to be loaded with, where there are any."""
    return {"reading": graph.reading.options} if graph.reading and graph.reading.options else {}


def open_model(
    folder: Path | str,
    graph: TripleSet | None = None,
    scorer: type[Scorer] | None = None,
    dim: int | None = None,
) -> KGEModel:
    """Read a model, in eval mode.

    Parameters
    ----------
    folder
        Run folder, bundle, or name of a pretrained model.
    graph
        A graph with the ids of the model. A graph prior uses the training triples it was fitted with, those of the
        stored graph.
    scorer
        Class of the scorer, for one outside mulde/kge/scorers.
    dim
        One of the sizes that the model was trained at; None: the largest.

    Raises
    ------
    UsageError
        If there is no model, its format is another one, a file is damaged, ``graph`` has other names, a model with a
        graph prior has no stored graph and the one that is found has other triples, or the model was not trained at
        this size.
    """
    folder = bundle.locate(folder)
    description = describe(folder)
    if graph is not None:
        refuse_other_names(folder, description, graph)
    if scorer is None:
        scorer = find_scorer(description["scorer"])
    elif scorer_name(scorer) != description["scorer"]:
        raise UsageError(f"model {folder} was trained as {description['scorer']}, not as {scorer_name(scorer)}")
    where = f"{folder / WEIGHTS}"
    if dim is not None:
        refuse_other_dim(description["model"], dim)
    try:
        config = ModelConfig(**description["model"])
    except TypeError as error:
        raise UsageError(f"{folder / DESCRIPTION}: does not describe a model ({error}); the file is damaged") from error
    with open_file(folder, WEIGHTS) as stream:
        sizes = description["num_entities"], description["num_relations"]
        model, prior = read_model(stream, scorer, *sizes, config, where)
        if stream.digest() != description["weights"]:
            raise UsageError(
                f"{where}: its checksum is not the one in {DESCRIPTION}; the file is damaged or belongs to another "
                "model; copy both files again, or remove both and repeat the training command"
            )
    if prior is not None:
        same = graph is not None and graph.checksum == description["data"]["checksum"]
        triples = graph.train if same and graph is not None else trained_on(folder).train
        weights, of_sizes = prior
        model.set_graph_prior(GraphPrior(weights, triples, of_sizes))
    return model.eval() if dim is None else cropped(model.eval(), dim)


def of_crop(description: dict[str, Any], model: KGEModel) -> dict[str, Any]:
    """The description of a model that may have been opened with another size; what was fitted to it has its own."""
    options = json.loads(json.dumps(asdict(model.config)))  # with options that are newer than the description
    if model.config.dim == description["model"]["dim"]:
        return {**description, "model": options}
    weights = hashlib.sha256(f"{description['weights']} {model.config.dim}".encode()).hexdigest()
    return {**description, "model": options, "parameters": _parameters(model), "weights": weights}


def _parameters(model: KGEModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def stored_model(model: KGEModel, weights: bytes, triples: NDArray[np.int64]) -> KGEModel:
    """A model as it will be opened from weights of `model_files`, in eval mode.

    Parameters
    ----------
    model
        The model that the weights were made of.
    weights
        Content of the file.
    triples
        (n, 3) training triples of its graph.
    """
    stream = Checked(io.BytesIO(weights), len(weights), Path(WEIGHTS))
    found, prior = read_model(stream, model.scorer, model.num_entities, model.num_relations, model.config, WEIGHTS)
    return found.set_graph_prior(None if prior is None else GraphPrior(prior[0], triples, prior[1])).eval()


def scorer_name(scorer: type[Scorer]) -> str:
    """Name of a scorer on the command line (its file), or of its class if it is not in mulde/kge/scorers."""
    package, _, file = scorer.__module__.rpartition(".")
    return file if package == "mulde.kge.scorers" else scorer.__name__


@cache
def find_scorer(name: str) -> type[Scorer]:
    """The scorer in ``mulde/kge/scorers/<name>.py``; capitals do not matter.

    Raises
    ------
    UsageError
        Where there is none.
    """
    try:
        catalogue.path_of("scorers", name)
    except UsageError as error:
        raise UsageError(f"{error}; pass your own scorer as a class") from None
    found: type[Scorer] = catalogue.find("scorers", name)
    return found


def _weights(model: KGEModel) -> dict[str, Any]:
    state = model.state_dict()
    if _ties_biases(model):
        del state["tail_bias"]  # the same tensor as head_bias
    return state


def _ties_biases(model: KGEModel) -> bool:
    return model.config.bias == "shared"
