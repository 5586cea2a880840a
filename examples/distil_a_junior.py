"""Teach a small model with two large ones, and see whether the teaching was worth it.

python examples/distil_a_junior.py
"""

import kge_data
import mulde

QUICK = {"epochs": 4, "lr": 2e-2}  # enough to see something in seconds; the defaults take a minute

graph = kge_data.load("umls")

# Teachers may differ in scorer, geometry and dimension; they only share the graph.
teachers = [
    mulde.train("roth", graph, dim=32, **QUICK),
    mulde.train("refe", graph, dim=48, **QUICK),
]

# The Junior: 8 numbers per entity. At every step it shows its `top` favourite answers, the teachers score
# these, and the Senior blends the teachers' opinions into the soft labels that the Junior learns from.
junior = mulde.distil("roth", teachers, graph, dim=8, **QUICK, top_k=50)

# The control: the same Junior with the same settings, but without teachers.
alone = mulde.train("roth", graph, dim=8, **QUICK)

# Another control: soft labels from the plain mean of the teachers, without Senior.
averaged = mulde.distil("roth", teachers, graph, dim=8, **QUICK, top_k=50, method="average")

models = {
    "teacher RotH, 32": teachers[0],
    "teacher RefE, 48": teachers[1],
    "Junior alone, 8": alone,
    "Junior by average, 8": averaged,
    "Junior by MulDE, 8": junior,
}
for name, model in models.items():
    metrics = mulde.evaluate(model, graph, "test").metrics()
    numbers = sum(parameter.numel() for parameter in model.parameters())
    print(f"{name:22} {numbers:7,} numbers   MRR {metrics['mrr']:.3f}   Hits@10 {metrics['hits@10']:.3f}")
