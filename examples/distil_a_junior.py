"""Distil two large models into a small one, and compare it with the same model without distillation.

python examples/distil_a_junior.py
"""

import kge_data
import mulde

QUICK = {"epochs": 4, "lr": 2e-2}  # a few seconds; the defaults take a minute

graph = kge_data.load("umls")

# Teachers may differ in scorer, geometry and dimension.
teachers = [
    mulde.train("roth", graph, dim=32, **QUICK),
    mulde.train("refe", graph, dim=48, **QUICK),
]

# The Junior: 8 numbers per entity. At every step the teachers score its `top_k` best answers, and the Senior
# blends the scores of the teachers into soft labels for the Junior.
junior = mulde.distil("roth", teachers, graph, dim=8, **QUICK, top_k=50)

# The baseline: the same model with the same settings, without distillation.
baseline = mulde.train("roth", graph, dim=8, **QUICK)

# For comparison: soft labels from the plain mean of the teachers, without Senior.
averaged = mulde.distil("roth", teachers, graph, dim=8, **QUICK, top_k=50, method="average")

models = {
    "teacher RotH, 32": teachers[0],
    "teacher RefE, 48": teachers[1],
    "baseline, 8": baseline,
    "Junior by average, 8": averaged,
    "Junior by MulDE, 8": junior,
}
for name, model in models.items():
    metrics = mulde.evaluate(model, graph, "test").metrics()
    numbers = sum(parameter.numel() for parameter in model.parameters())
    print(f"{name:22} {numbers:7,} numbers   MRR {metrics['mrr']:.3f}   Hits@10 {metrics['hits@10']:.3f}")
