"""Models in run folders: ``model.safetensors`` and ``model.json``. Nothing is unpickled.

A distilled Junior has its Senior beside it, ``senior.safetensors``. The JSON file holds the scorer, the options of the
model, the data it was trained on, and a checksum over the names of entities and relations in id order: ids are
meaningless with another list of names. Every function that opens a model also takes a bundle (``bundle.py``) or the
name of a pretrained model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from kge_data.errors import DataError
from kge_data.loading import load as load_graph
from kge_data.tripleset import TripleSet
from mulde import catalogue
from mulde.errors import UsageError
from mulde.files import write_atomically
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.storage import bundle
from mulde.kge.storage.quantisation import Stored, narrow, widen

WEIGHTS, DESCRIPTION, FORMAT = "model.safetensors", "model.json", "mulde model 2"
PRIOR = "graph_prior.weights"
CONTENT = ("scorer", "model", "num_entities", "num_relations", "parameters", "names", "data", "weights")


def save_model(folder: Path, model: KGEModel, graph: TripleSet, source: str) -> None:
    """Write a model into a folder, atomically. ``source``: name or path that the graph was loaded by."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in model_files(model, graph, source).items():
        write_atomically(folder / name, content)


def model_files(model: KGEModel, graph: TripleSet, source: str, stored: Stored | None = None) -> dict[str, bytes]:
    """Contents of both files, weights first. ``stored``: precision of the tables, see ``quantisation.py``."""
    tables = {name: tensor.detach().cpu() for name, tensor in _weights(model).items()}
    weights = save({name: tensor.contiguous() for name, tensor in narrow(tables, stored).items()})
    description = {
        "format": FORMAT,
        "scorer": scorer_name(model.scorer),
        "model": asdict(model.config),
        "num_entities": model.num_entities,
        "num_relations": model.num_relations,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "names": names_checksum(graph),
        "data": {"source": source, "name": graph.name, "checksum": graph.checksum, **_reading(graph)},
        "weights": hashlib.sha256(weights).hexdigest(),
    }
    return {WEIGHTS: weights, DESCRIPTION: json.dumps(description, indent=2).encode()}


def _reading(graph: TripleSet) -> dict[str, Any]:
    """The arguments that the source has to be loaded with, where there are any."""
    return {"reading": graph.reading.options} if graph.reading and graph.reading.options else {}


def open_model(folder: Path | str, graph: TripleSet | None = None, scorer: type[Scorer] | None = None) -> KGEModel:
    """Read a model, in eval mode.

    Parameters
    ----------
    folder
        Run folder, bundle, or name of a pretrained model.
    graph
        The graph it was trained on. Without it, a model with a graph prior loads the graph from its bundle, or by the
        name or path that it was trained with.
    scorer
        Class of the scorer, for one outside mulde/kge/scorers.

    Raises
    ------
    UsageError
        If there is no model, its format is another one, a file is damaged, ``graph`` has other names, or the graph
        that is found has other triples.
    """
    folder = bundle.locate(folder)
    description = describe(folder)
    if graph is not None:
        _refuse_other_names(folder, description, graph)
    if scorer is None:
        scorer = find_scorer(description["scorer"])
    elif scorer_name(scorer) != description["scorer"]:
        raise UsageError(f"model {folder} was trained as {description['scorer']}, not as {scorer_name(scorer)}")
    try:
        config = ModelConfig(**description["model"])
        model = KGEModel(scorer, description["num_entities"], description["num_relations"], config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{folder / DESCRIPTION}: does not describe a model ({error}); the file is damaged") from error
    try:
        content = _read(folder, WEIGHTS)
    except OSError as error:
        raise UsageError(f"{folder}: expected {WEIGHTS} beside {DESCRIPTION}; {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != description["weights"]:
        raise UsageError(
            f"{folder / WEIGHTS}: its checksum is not the one in {DESCRIPTION}; the file is damaged or belongs to "
            "another model; copy both files again, or remove both and repeat the training command"
        )
    try:
        tables = widen(load(content))
        if PRIOR in tables and graph is None:
            graph = _trained_on(folder, description)
        fill(model, tables, None if graph is None else graph.train)
    except (SafetensorError, RuntimeError) as error:
        raise UsageError(f"{folder / WEIGHTS}: not the weights of {description['scorer']} ({error})") from error
    return model.eval()


def fill(model: KGEModel, tables: dict[str, Tensor], triples: NDArray[np.int64] | None) -> None:
    """Copy stored tables into a model.

    Parameters
    ----------
    model
        The model.
    tables
        Its parameters and buffers by name.
    triples
        (n, 3) training triples of the graph, which a graph prior needs.

    Raises
    ------
    RuntimeError
        If a table is missing or has another shape.
    """
    if PRIOR in tables and triples is not None:
        model.set_graph_prior(GraphPrior(tables[PRIOR].to(model.entity.dtype), triples))
    if _ties_biases(model) and "head_bias" in tables:
        tables = {**tables, "tail_bias": tables["head_bias"]}  # stored once
    model.load_state_dict(tables)


def graph_of(folder: Path | str, data: str | None = None) -> TripleSet:
    """The graph of a model.

    Parameters
    ----------
    folder
        Run folder, bundle, or name of a pretrained model.
    data
        Name or path of another graph to load in its place.

    Raises
    ------
    UsageError
        If the graph of a run folder is not found, or has other names.
    kge_data.DataError
        If ``data`` is not found.
    """
    description = describe(folder)
    source = description["data"]["source"]
    if data is not None:
        return load_graph(data)
    if bundle.is_bundle(place := bundle.locate(folder)):
        return bundle.read(place).graph()
    try:
        graph = load_graph(source, **description["data"].get("reading", {}))
    except DataError as error:
        raise UsageError(
            f"model {folder} was trained on {source}, which is not found; pass the graph with --data ({error})"
        ) from error
    _refuse_other_names(folder, description, graph)
    return graph


def _trained_on(folder: Path, description: dict[str, Any]) -> TripleSet:
    """The graph that a model was trained on. Raises UsageError if the graph that is found has other triples."""
    graph = graph_of(folder)
    if graph.checksum != description["data"]["checksum"]:
        raise UsageError(
            f"{graph.name} has the names, but not the triples that model {folder} was trained on, and its graph "
            "prior depends on them; pass the right graph"
        )
    return graph


def _refuse_other_names(folder: Path | str, description: dict[str, Any], graph: TripleSet) -> None:
    if description["names"] != names_checksum(graph):
        raise UsageError(
            f"model {folder} was trained on another list of names ({description['num_entities']:,} entities and "
            f"{description['num_relations']:,} relations of {description['data']['name']}, here "
            f"{graph.num_entities:,} and {graph.num_relations:,} of {graph.name}); its scores would belong to the "
            "wrong entities; pass the right graph"
        )


def describe(folder: Path | str) -> dict[str, Any]:
    """Content of ``model.json``. Raises UsageError if it is missing, damaged, or of another format."""
    folder = bundle.locate(folder)
    path = folder / DESCRIPTION
    try:
        content = _read(folder, DESCRIPTION)
    except OSError as error:
        raise UsageError(_no_model(folder)) from error
    try:
        description: dict[str, Any] = json.loads(content)
        form = description.get("format")
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path}: expected a description in JSON, but {error}; the file is damaged") from error
    if form != FORMAT:
        raise UsageError(
            f"{path}: expected format '{FORMAT}', found {form!r}; it was written by another version of mulde; open it "
            "with that version, or train the model again"
        )
    if missing := [name for name in CONTENT if name not in description]:
        raise UsageError(f"{path}: {', '.join(missing)} missing; the file is damaged")
    return description


def _read(place: Path, name: str) -> bytes:
    return bundle.read(place).file(name) if bundle.is_bundle(place) else (place / name).read_bytes()


def _no_model(folder: Path) -> str:
    if not folder.exists():
        return (
            f"{folder}: no such folder or file; expected a run folder (of `mulde train` or `mulde distil`), a bundle "
            "(of `mulde pack`), or a name of `mulde list models`"
        )
    inside = sorted(found.parent for found in folder.glob(f"**/{DESCRIPTION}"))
    if inside:
        return f"{folder}: expected a single model, found several: {', '.join(map(str, inside))}; name one"
    return f"{folder}: expected a run folder with {DESCRIPTION}, found none; finish the training first"


def scorer_name(scorer: type[Scorer]) -> str:
    """Name of a scorer on the command line (its file), or of its class if it is not in mulde/kge/scorers."""
    package, _, file = scorer.__module__.rpartition(".")
    return file if package == "mulde.kge.scorers" else scorer.__name__


@cache
def find_scorer(name: str) -> type[Scorer]:
    """The scorer in ``mulde/kge/scorers/<name>.py``; capitals do not matter. Raises UsageError where there is none."""
    try:
        catalogue.path_of("scorers", name)
    except UsageError as error:
        raise UsageError(f"{error}; pass your own scorer as a class") from None
    found: type[Scorer] = catalogue.find("scorers", name)
    return found


def names_checksum(graph: TripleSet) -> str:
    """SHA-256 over entity and relation names in id order."""
    return hashlib.sha256("\n".join([*graph.entities, "", *graph.relations]).encode()).hexdigest()


def _weights(model: KGEModel) -> dict[str, Any]:
    state = model.state_dict()
    if _ties_biases(model):
        del state["tail_bias"]  # the same tensor as head_bias
    return state


def _ties_biases(model: KGEModel) -> bool:
    return model.config.bias == "shared"
