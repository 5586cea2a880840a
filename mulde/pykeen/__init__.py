"""Bridge to PyKEEN. Importing this package registers our models there:

    import mulde.pykeen
    training, validation, testing = mulde.pykeen.factories(kge_data.load("nations"))
    pipeline(model="RotH", training=training, validation=validation, testing=testing, loss="bcewithlogits")

Always name the loss: PyKEEN's ``pipeline`` ignores the default of the model and uses margin ranking.
"""

from mulde.errors import UsageError

try:
    import pykeen.constants  # noqa: F401  makes a folder in the home directory
except (OSError, RuntimeError) as error:
    raise UsageError("PyKEEN needs a home directory that can be written; set HOME to a folder of yours") from error

from mulde.pykeen.folders import open_for_pykeen, save_for_pykeen
from mulde.pykeen.graphs import factories, read_factory, triple_set
from mulde.pykeen.handover import from_pykeen, to_pykeen
from mulde.pykeen.interactions import INTERACTIONS, interaction_class
from mulde.pykeen.manifold import BallEmbedding
from mulde.pykeen.models import MODELS, model_class
from mulde.pykeen.registration import register
from mulde.pykeen.teachers import PyKEENTeacher, open_teacher

__all__ = [
    "INTERACTIONS",
    "MODELS",
    "BallEmbedding",
    "PyKEENTeacher",
    "factories",
    "from_pykeen",
    "interaction_class",
    "model_class",
    "open_for_pykeen",
    "open_teacher",
    "read_factory",
    "register",
    "save_for_pykeen",
    "to_pykeen",
    "triple_set",
]

globals().update({model.__name__: model for model in MODELS})  # mulde.pykeen.RotH and the others
register()
