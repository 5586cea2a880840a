"""A training engine for methods with several learners: Method, Feed, Trainer, Clock.

A `Method` contains its networks and returns named losses. A feed is any iterable of batches. The `Trainer` updates the
learners, evaluates, logs, saves, and resumes exactly.
"""

from mulde.engine.averaging import average_of, update_average
from mulde.engine.checkpoint import ConfigurationChanged, load_weights, save_weights
from mulde.engine.clock import Clock, Schedule, as_schedule, constant, cosine, exponential, linear, step_decay
from mulde.engine.feed import Batch, Feed
from mulde.engine.frozen import frozen, frozen_modules, is_frozen
from mulde.engine.learning import OptimizerFactory
from mulde.engine.method import Evaluation, Method
from mulde.engine.optimizers import OptimizerSpec
from mulde.engine.protocol import Needs, Role, Session, Setup, Trained, as_setup
from mulde.engine.record import Record
from mulde.engine.trainer import Trainer
from mulde.engine.update import NonFiniteLoss

__all__ = [
    "Batch",
    "Clock",
    "ConfigurationChanged",
    "Evaluation",
    "Feed",
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
