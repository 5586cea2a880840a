"""PyKEEN's own tools with our models, by name: training, early stopping, search, prediction, command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geoopt
import pytest
import torch
from pykeen.hpo import hpo_pipeline
from pykeen.pipeline import PipelineResult, pipeline
from pykeen.predict import predict_target
from pykeen.training import LCWATrainingLoop

from mulde.pykeen import __main__ as command
from mulde.pykeen.models import MODELS, ScorerModel

TINY: dict[str, Any] = {
    "model_kwargs": {"embedding_dim": 4},
    "loss": "bcewithlogits",
    "training_kwargs": {"num_epochs": 1, "batch_size": 512, "use_tqdm": False},
    "evaluation_kwargs": {"use_tqdm": False},
    "random_seed": 0,
    "device": "cpu",
}


def trained(splits: dict[str, Any], **options: Any) -> PipelineResult:
    return pipeline(**{**TINY, **splits, **options})


def test_rotation_in_the_ball_learns(splits: dict[str, Any]) -> None:
    training = {"num_epochs": 6, "batch_size": 256, "use_tqdm": False}
    result = trained(
        splits, model="RotH", training_loop="lcwa", training_kwargs=training, optimizer_kwargs={"lr": 0.05}
    )
    assert type(result.model).__name__ == "RotH" and isinstance(result.model, ScorerModel)
    assert result.losses[-1] < 0.8 * result.losses[0]
    assert result.get_metric("mrr") > 0.5  # untrained: about 0.25


@pytest.mark.parametrize(
    "model", [model for model in MODELS if model.__name__ != "RotH"], ids=lambda model: model.__name__
)
def test_every_model_trains(model: type[ScorerModel], splits: dict[str, Any]) -> None:
    regularizer = {"regularizer": "powersum", "regularizer_kwargs": {"p": 3.0, "weight": 1e-3}}
    result = trained(splits, model=model, **regularizer)
    assert result.model.config.dim == 4 and len(result.losses) == 1
    regularized = [table for table in result.model.relation_representations if table.regularizer is not None]
    assert len(regularized) == list(result.model.scorer.relation.values()).count("vector")


def test_one_seed_gives_one_result(splits: dict[str, Any]) -> None:
    losses = [trained(splits, model="AttH").losses for _ in range(2)]
    assert losses[0] == losses[1]


def test_points_of_the_ball_with_riemannian_adam(splits: dict[str, Any]) -> None:
    options = {"embedding_dim": 4, "curvature": "fixed", "initial_curvature": 2.0, "parametrization": "manifold"}
    model = trained(
        splits, model="RotH", model_kwargs=options, optimizer="RiemannianAdam", optimizer_kwargs={"lr": 0.1}
    ).model
    points = model.entity_representations[0].points
    assert isinstance(points, geoopt.ManifoldParameter)
    assert 0.01 < points.norm(dim=-1).max() < 2.0**-0.5
    with torch.no_grad():
        points.data.fill_(5.0)  # as an optimiser without manifolds might
    model.post_parameter_update()
    assert points.norm(dim=-1).max() < 2.0**-0.5


def test_stops_early(splits: dict[str, Any]) -> None:
    training = {"num_epochs": 5, "batch_size": 512, "use_tqdm": False}
    patience = {"frequency": 1, "patience": 1, "relative_delta": 10.0, "metric": "mrr"}
    result = trained(
        splits, model="RefH", stopper="early", stopper_kwargs=patience, training_kwargs=training
    )  # fmt: skip
    assert result.stopper.stopped and len(result.losses) == 2


def test_interaction_by_name_in_a_model_of_pykeens(splits: dict[str, Any]) -> None:
    kwargs = {"curvature": "global"}
    result = trained(
        splits, interaction="RotE", interaction_kwargs=kwargs, dimensions={"d": 4, "": 1}, model_kwargs=None
    )  # fmt: skip
    assert type(result.model.interaction).__name__ == "RotEInteraction"


def test_searches_hyperparameters(splits: dict[str, Any]) -> None:
    found = hpo_pipeline(
        **splits,
        model="DistH",
        loss="bcewithlogits",
        optimizer="RiemannianAdam",
        training_kwargs=TINY["training_kwargs"],
        evaluation_kwargs=TINY["evaluation_kwargs"],
        n_trials=1,
        device="cpu",
        save_model_directory=None,
    )
    (trial,) = found.study.trials
    assert 8 <= trial.params["model.embedding_dim"] <= 64
    assert trial.state.name == "COMPLETE"


def test_predicts_with_names(splits: dict[str, Any]) -> None:
    result = trained(splits, model="AttE")
    frame = predict_target(result.model, head="uk", relation="embassy", triples_factory=splits["training"]).df
    assert len(frame) == 14 and frame["score"].is_monotonic_decreasing
    head, relation = splits["training"].entity_to_id["uk"], splits["training"].relation_to_id["embassy"]
    scores = result.model.predict_t(torch.tensor([[head, relation]]))[0]
    assert frame["score"].iloc[0] == pytest.approx(scores.max().item())


def test_half_trained_equals_trained_in_one_go(splits: dict[str, Any], tmp_path: Path) -> None:
    def run(epochs: int, folder: Path) -> list[float]:
        training = {
            "num_epochs": epochs, "batch_size": 512, "use_tqdm": False,
            "checkpoint_name": "last.pt", "checkpoint_directory": folder, "checkpoint_frequency": 0,
        }  # fmt: skip
        return trained(splits, model="RotH", training_loop=LCWATrainingLoop, training_kwargs=training).losses

    run(1, tmp_path / "resumed")
    assert run(2, tmp_path / "resumed") == run(2, tmp_path / "whole")


def test_command_line_of_pykeen_has_our_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = "train roth --dataset nations --number-epochs 1 --batch-size 512 --embedding-dim 6 --bias shared"
    monkeypatch.setattr(
        "sys.argv", ["x", *arguments.split(), "--create-inverse-triples", "--output-directory", str(tmp_path)]
    )
    with pytest.raises(SystemExit) as left:
        command.main()
    assert left.value.code == 0
    assert "Training RotH" in capsys.readouterr().out
    model = torch.load(tmp_path / "trained_model.pkl", weights_only=False)
    assert (model.config.dim, model.config.bias) == (6, "shared")
