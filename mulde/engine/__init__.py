"""A training engine for methods with several learners: Batch, Feed, Method, Trainer, and a Clock.

A `Method` owns its networks and answers with named losses; a feed is any iterable of batches; the `Trainer`
updates the learners, evaluates, logs and saves, and resumes exactly.
"""

from mulde.engine.checkpoint import ConfigurationChanged, load_weights, save_weights
from mulde.engine.clock import Clock, Schedule, as_schedule, constant, cosine, exponential, linear, step_decay
from mulde.engine.frozen import average_of, frozen, frozen_modules, is_frozen, update_average
from mulde.engine.learning import OptimizerFactory, OptimizerSpec
from mulde.engine.method import Method
from mulde.engine.protocol import Needs, Role, Session, Setup, Trained, as_setup
from mulde.engine.record import Record
from mulde.engine.trainer import Trainer
from mulde.engine.update import NonFiniteLoss

__all__ = [
    "Clock",
    "ConfigurationChanged",
    "Method",
    "Needs",
    "NonFiniteLoss",
    "OptimizerFactory",
    "OptimizerSpec",
    "Record",
    "Role",
    "Schedule",
    "Session",
    "Setup",
    "Trained",
    "Trainer",
    "as_schedule",
    "as_setup",
    "average_of",
    "constant",
    "cosine",
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
