"""Every method on the shelf: the contract of methods, and a distillation from start to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mulde import catalogue
from mulde.config import hints_of, options_of
from mulde.engine import Method, as_setup
from mulde.errors import UsageError
from mulde.kge.feeds import query_feed
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.options import Training
from mulde.kge.scorers.roth import RotH
from mulde.kge.storage.run_folder import open_model
from mulde.kge.training import stage
from mulde.kge.training.method_file import MethodFile, names, open_method
from tests.contracts.method import check_method
from tests.kge import toys

GRAPH = toys.toy_graph()
SMALL = {
    "dim": 4, "curvature": "global", "dtype": "float64", "init_scale": 0.4, "epochs": 2, "batch_size": 30,
    "negatives": 3, "eval_every": 1, "average": "swa", "average_begin": 0.3, "cycle": ("optimizer.weight_decay=0:0.1",),
}  # fmt: skip


def config_of(file: MethodFile, **changes: Any) -> Any:
    return toys.options(file.Config, **SMALL, **changes)


@pytest.mark.parametrize("name", names())
def test_contract(name: str) -> None:
    file = open_method(name)
    config = config_of(file)

    def make() -> tuple[Method, Any]:
        student = KGEModel(RotH, GRAPH.num_entities, GRAPH.num_relations, config.model)
        networks = file.networks(config, GRAPH, {"student": student, "teacher": toys.ensemble(GRAPH)})
        setup = as_setup(file.build(config, GRAPH, networks))
        feed = query_feed(GRAPH, config.training) if setup.feed is None else setup.feed
        return setup.method, next(iter(feed))

    check_method(make)


@pytest.mark.parametrize("name", names())
def test_the_options_are_composed(name: str) -> None:
    """A Config has a Junior, a model and a training, and a sentence for every option."""
    kind = open_method(name).Config
    assert {"junior", *hints_of(ModelConfig), *hints_of(Training)} < set(hints_of(kind))
    assert all(option.about for option in options_of(kind))


@pytest.mark.parametrize("name", names())
def test_a_distillation(name: str, tmp_path: Path) -> None:
    """Training with an average and a cycle, reuse, refusal of other settings; the given teacher is not changed."""
    file = open_method(name)
    teacher = toys.model(GRAPH, seed=1)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}

    def distilled(**changes: Any) -> stage.Outcome:
        return stage.distil("rotH", [teacher], GRAPH, config_of(file, **changes), tmp_path, method=name, bar=False)

    first = distilled()
    assert not first.record.reused and {"valid/mrr", "current/valid/mrr"} <= first.record.metrics.keys()
    assert torch.equal(open_model(tmp_path, GRAPH).entity, first.model.entity)
    assert distilled().record.reused
    with pytest.raises(UsageError, match=r"holds a run with other settings; .*\n  lr: was .*, is 0.125"):
        distilled(lr=0.125)
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize("name", names())
def test_no_teacher_is_refused(name: str) -> None:
    file = open_method(name)
    if file.needs.roles["teacher"].least:
        with pytest.raises(UsageError, match=f"method {name} needs at least 1 teachers; got 0"):
            stage.distil("roth", [], GRAPH, config_of(file), None, method=name)


def test_unknown_methods() -> None:
    with pytest.raises(UsageError, match='no method called "muldee"; nearest: mulde'):
        open_method("muldee")
    images = next(path.stem for path in catalogue.shelf_files("mulde/vision/methods"))
    with pytest.raises(UsageError, match=f"{images} is a method for images; methods for graphs are average, mulde"):
        open_method(images)
    with pytest.raises(
        UsageError, match=r"method mulde takes its own Config; got mulde\.kge\.methods\.average\.Config"
    ):
        stage.distil("roth", [toys.model(GRAPH)], GRAPH, config_of(open_method("average")), None)
