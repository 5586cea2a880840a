"""Keyword options of `mulde.train`, `distil`, `run` and `tune`, as typed dictionaries for editors and type checkers.

They have the names and types of the options in the `Config` classes; a test compares both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict

from mulde.kge.model.config import HardLoss, MatmulPrecision


class ModelOptions(TypedDict, total=False):
    """Options of a model."""

    dim: int
    dims: tuple[int, ...]
    curvature: Literal["per-relation", "global", "fixed"]
    initial_curvature: float
    bias: Literal["separate", "shared", "none"]
    dtype: Literal["float32", "float64"]
    init_scale: float
    rotation_init: Literal["uniform", "normal"]
    parametrization: Literal["tangent", "manifold"]
    mask_self_loops: bool
    graph_prior: bool
    artanh_limit: float | None
    distance: Literal["geodesic", "lorentz"]


class TrainingOptions(ModelOptions, total=False):
    """Options of a model and of its training."""

    epochs: int
    batch_size: int
    negatives: int
    corrupt: Literal["tail", "both"]
    optimizer: Literal["adam", "adagrad", "sgd", "radam", "riemannian-adam"]
    lr: float | None
    schedule: Literal["constant", "linear", "cosine"]
    eval_every: int
    patience: int
    seed: int
    budget: float | str | None
    device: str
    checkpoint_every: float
    tensorboard: bool
    sparse: bool
    compile: Literal["auto", "on", "off"]
    loss: HardLoss
    n3: float
    matmul_precision: MatmulPrecision
    average: Literal["none", "swa", "ema"]
    average_every: int
    average_begin: float
    average_momentum: float
    cycle: tuple[str, ...]
    sharpness_radius: float
    accumulate: int
    max_grad_norm: float | None
    max_grad_value: float | None
    loss_driven_factor: float


class TrainOptions(TrainingOptions, total=False):
    """Options of :func:`train`."""

    margin: float
    relation_weight: float


class DistilOptions(TrainingOptions, total=False):
    """Options of :func:`distil`; those of a method of your own may be given as well."""

    top_k: int
    include_target: bool
    random_candidates: int
    teacher_query_fraction: float | None
    soft_weight: float
    temperature: float
    tau_epochs: int
    tau_max: float
    scaling: bool
    attention: bool
    attention_gradient: bool
    attention_reverse: bool
    soft_trains_senior: bool
    senior_hard: bool
    mask_known: bool
    teacher_cache: Path | str | None
    teacher_queries: int | None
    extra_queries: int
    watermark: Path | str | None
    watermark_strength: float


class TuneOptions(DistilOptions, total=False):
    """Options of :func:`tune`: those of a training or of a distillation."""

    margin: float
    relation_weight: float


class RunOptions(DistilOptions, total=False):
    """Options of :func:`run`."""

    relation_weight: float
    teacher_dim: int
    teacher_n3: float | None
    teacher_epochs: int | None
    parallel: int
    baseline: bool
