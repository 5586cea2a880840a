"""A folder with a trained model for both libraries: mulde opens it without unpickling, PyKEEN as its own results.

model.safetensors, model.json     the model as mulde saves it
training_triples/                 training triples and label maps, as PyKEEN saves them
trained_model.pkl                 for PyKEEN only; ``open_for_pykeen`` does not read it

Labels that look like numbers, such as all entities of WN18RR, are stored unchanged, but PyKEEN's
``TriplesFactory.from_path_binary`` reads them with pandas and converts "00260881" to 260881, and "NA" to NaN. Ids and
scores are unaffected; for labels read the folder with ``open_for_pykeen``, or with ``read_factory``, which also reads
folders that PyKEEN wrote. A name that pandas would cut, at a carriage return, is refused.
"""

import io
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import pandas
import torch
from pykeen.triples import TriplesFactory

from kge_data.tripleset import TripleSet
from mulde.errors import UsageError, WriteError
from mulde.files import new_folder, write_atomically
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.run_folder import open_model, save_model
from mulde.pykeen.graphs import factories, read_factory, triple_set
from mulde.pykeen.handover import to_pykeen
from mulde.pykeen.models import MODELS, ScorerModel, model_class

PICKLE, TRIPLES = "trained_model.pkl", "training_triples"


def save_for_pykeen(model: KGEModel, graph: TripleSet, folder: Path | str) -> None:
    """Write a new folder, whole or not at all.

    Where mulde is installed, PyKEEN's users open it as the result of a pipeline, and get the same scores:
    ``torch.load(folder / "trained_model.pkl", weights_only=False)``.

    Raises
    ------
    UsageError
        If the folder exists, model and graph do not belong together, a name would be lost, or the scorer is not one of
        ``mulde/kge/scorers``.
    """
    if model_class(model.scorer) not in MODELS:
        raise UsageError(
            f"{model.scorer.__name__}: PyKEEN's folder names the class of the model, which exists for the scorers of "
            "`mulde list scorers` only; export the embeddings as tsv, parquet or numpy"
        )
    with new_folder(Path(folder)) as partial:
        network = to_pykeen(model, graph).cpu().eval()
        pickled = io.BytesIO()
        torch.save(network, pickled)
        save_model(partial, model, graph, graph.name)
        _write_triples(graph, partial / TRIPLES)
        for kind, names in (("entity", graph.entities), ("relation", graph.relations)):
            _refuse_lost_names(partial / TRIPLES / f"{kind}_to_id.tsv.gz", names)
        write_atomically(partial / PICKLE, pickled.getvalue())


def _write_triples(graph: TripleSet, folder: Path) -> None:
    try:
        factories(graph)[0].to_path_binary(folder)
    except RuntimeError as error:  # torch writes to a path by itself, and does not say why that failed
        raise WriteError(folder, "could not be written", "check the space and the permissions there") from error


def _refuse_lost_names(path: Path, names: Sequence[str]) -> None:
    """Raise UsageError if pandas, with which PyKEEN reads its labels, loses one. Numbers are allowed."""
    read = pandas.read_csv(path, sep="\t")["label"].tolist()
    for name, label in zip_longest(names, read):
        if label != name and isinstance(label, str | None):
            raise UsageError(f"PyKEEN reads the name {name!r} as {label!r}; rename it, or export to parquet")
    if len(set(map(str, read))) < len(names):
        raise UsageError("PyKEEN reads several names as the same number, such as 1 and 01; rename them")


def open_for_pykeen(folder: Path | str) -> tuple[ScorerModel, TriplesFactory]:
    """The PyKEEN model and the training factory in a folder of :func:`save_for_pykeen`; opens no pickle.

    Raises
    ------
    UsageError
        If files are missing or damaged, or the label maps are not those of the model.
    """
    folder = Path(folder)
    training = read_factory(folder / TRIPLES)
    graph = triple_set(training, name=folder.name, seed=None)
    return to_pykeen(open_model(folder, graph), graph), training
