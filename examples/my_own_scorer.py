"""A scoring function of your own: one class that can be trained, distilled, evaluated, saved and queried.

In a file `mulde/kge/scorers/scalee.py` it also has a name on the command line and in PyKEEN, is listed by
`mulde list scorers`, and is tested by the contract tests of scorers.

    python examples/my_own_scorer.py
"""

import tempfile

from torch import Tensor

import kge_data
import mulde
from mulde.geometry.spaces import Euclidean


class ScaleE(mulde.Scorer):
    """q = s * h + b: every relation stretches each coordinate and shifts it; score = -|q - t|² + biases.

    A scorer defines the space of its points, the parameters of a relation, and the query point of a head and a
    relation. Tables, comparison with all tails, biases, top-k and ranking are in the library.
    """

    space = Euclidean  # or PoincareBall, the default; then `query` also receives the curvature
    relation = {"scale": "vector", "shift": "vector"}  # "angles" for rotations: pairs of coordinates

    @staticmethod
    def query(head: Tensor, *, scale: Tensor, shift: Tensor) -> Tensor:  # type: ignore[override]
        """Heads (..., d) and relation vectors (..., d) -> points (..., d)."""
        return (1 + scale) * head + shift  # initial vectors are near 0, so q is near h


graph = kge_data.load("kinships")
with tempfile.TemporaryDirectory() as folder:
    # A class can be given in place of a name.
    model = mulde.train(ScaleE, graph, folder=folder, dim=16, epochs=3, eval_every=3, lr=1e-2)
    print("ScaleE, MRR:", round(mulde.evaluate(model, graph).metrics()["mrr"], 3))

    # A run folder does not contain the class, so pass it again when loading.
    again = mulde.load(folder, graph, scorer=ScaleE)
    assert mulde.evaluate(again, graph).metrics() == mulde.evaluate(model, graph).metrics()

# It can be a teacher or a Junior like any other scorer.
teacher = mulde.train("rote", graph, dim=16, epochs=3, eval_every=3)
junior = mulde.distil(ScaleE, [teacher, model], graph, dim=8, epochs=2, eval_every=2)
print("ScaleE distilled from RotE and ScaleE, MRR:", round(mulde.evaluate(junior, graph).metrics()["mrr"], 3))
