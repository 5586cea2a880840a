"""A scoring function of your own: one class, and it can be trained, distilled, evaluated, saved and asked.

As a file `mulde/kge/scorers/scalee.py` it would also have a name on the command line, be listed by
`mulde list scorers`, be known to PyKEEN, and be put through the scorer tests.

    python examples/my_own_scorer.py
"""

import tempfile

from torch import Tensor

import kge_data
import mulde
from mulde.geometry.spaces import Euclidean


class ScaleE(mulde.Scorer):
    """q = s * h + b: every relation stretches each coordinate and shifts it; score = -|q - t|² + biases.

    A scorer says where its points live, which vectors a relation owns, and how head and relation become a
    point. The tables, the comparison with all tails, biases, top-k and ranking are the library's.
    """

    space = Euclidean  # or PoincareBall, the default; then `query` also receives the curvature
    relation = {"scale": "vector", "shift": "vector"}  # "angles" for rotations: pairs of coordinates

    @staticmethod
    def query(head: Tensor, *, scale: Tensor, shift: Tensor) -> Tensor:  # type: ignore[override]
        """Heads (..., d) and relation vectors (..., d) -> points (..., d)."""
        return (1 + scale) * head + shift  # vectors begin near 0, so the relation begins as "the same place"


graph = kge_data.load("kinships")
with tempfile.TemporaryDirectory() as folder:
    # A class takes the place of a name, for a model alone ...
    model = mulde.train(ScaleE, graph, folder=folder, dim=16, epochs=3, eval_every=3, lr=1e-2)
    print("ScaleE, MRR:", round(mulde.evaluate(model, graph).metrics()["mrr"], 3))

    # ... and when it is read back, because a file cannot know where your class is.
    again = mulde.load(folder, graph, scorer=ScaleE)
    assert mulde.evaluate(again, graph).metrics() == mulde.evaluate(model, graph).metrics()

# It teaches and it learns like any other.
teacher = mulde.train("rote", graph, dim=16, epochs=3, eval_every=3)
junior = mulde.distil(ScaleE, [teacher, model], graph, dim=8, epochs=2, eval_every=2)
print("ScaleE distilled from RotE and ScaleE, MRR:", round(mulde.evaluate(junior, graph).metrics()["mrr"], 3))
