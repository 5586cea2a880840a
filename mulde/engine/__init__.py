"""A training engine for methods with several learners: Method, Feed, Trainer, Clock.

A `Method` contains its networks and returns named losses. A feed is any iterable of batches. The `Trainer` updates the
learners, evaluates, logs, saves, and resumes exactly.
"""

from mulde.engine.averaging import average_of, update_average
from mulde.engine.callback import Callback, EpochEnd
from mulde.engine.checkpoint import ConfigurationChanged, load_weights, save_weights
from mulde.engine.clock import (
    Clock,
    Schedule,
    as_schedule,
    constant,
    cosine,
    cyclical,
    exponential,
    linear,
    step_decay,
)
from mulde.engine.feed import Batch, Feed
from mulde.engine.frozen import frozen, frozen_modules, is_frozen
from mulde.engine.learning import OptimizerFactory
from mulde.engine.loss_driven import LossDrivenRate
from mulde.engine.method import Evaluation, Method
from mulde.engine.optimizers import OptimizerSpec
from mulde.engine.protocol import Needs, Role, Session, Setup, Trained, as_setup
from mulde.engine.record import Record
from mulde.engine.scheduled import ScheduledNumbers
from mulde.engine.sharpness import SharpnessAware
from mulde.engine.trainer import Trainer
from mulde.engine.update import NonFiniteLoss, Rule, Update
from mulde.engine.weight_average import WeightAverage

__all__ = [
    "Batch",
    "Callback",
    "Clock",
    "ConfigurationChanged",
    "EpochEnd",
    "Evaluation",
    "Feed",
    "LossDrivenRate",
    "Method",
    "Needs",
    "NonFiniteLoss",
    "OptimizerFactory",
    "OptimizerSpec",
    "Record",
    "Role",
    "Rule",
    "Schedule",
    "ScheduledNumbers",
    "Session",
    "Setup",
    "SharpnessAware",
    "Trained",
    "Trainer",
    "Update",
    "WeightAverage",
    "as_schedule",
    "as_setup",
    "average_of",
    "constant",
    "cosine",
    "cyclical",
    "exponential",
    "frozen",
    "frozen_modules",
    "is_frozen",
    "linear",
    "load_weights",
    "save_weights",
    "step_decay",
    "update_average",
]
