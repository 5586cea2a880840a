"""A small bundle."""

import pytest

from mulde.kge.evaluation.calibration import Calibration, as_file
from mulde.kge.export.bundle import Original, pack
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.refh import RefH
from mulde.kge.storage.run_folder import describe, save_model
from tests.kge import toys
from tests.kge.storage.strangers import Files


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """All files of a bundle, with a calibration."""
    graph, run = toys.toy_graph(), tmp_path_factory.mktemp("run")
    model = KGEModel(RefH, graph.num_entities, graph.num_relations, ModelConfig(dim=4), seed=1).eval()
    save_model(run, model, graph, "toy")
    made = pack(Original(run, model, graph, describe(run)), "toy")
    count, weights = graph.num_relations, describe(run)["weights"]
    fitted = Calibration((1.0, 2.0), 0.5, (0.0,) * count, (0.1,) * count, weights, "drawn")
    made.files["calibration.json"] = as_file(fitted)
    made.write(run / "bundle")
    return {path.name: path.read_bytes() for path in (run / "bundle").iterdir()}
