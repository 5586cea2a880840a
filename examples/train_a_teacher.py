"""Train a large model on a small graph, evaluate it, and query it.

python examples/train_a_teacher.py [FOLDER]
"""

import sys

import kge_data
import mulde

# A graph by name; a path of your own file or folder works as well. UMLS comes with the package.
graph = kge_data.load("umls")
print(graph)

# Options are those of `mulde train --help-all`. With a folder, the run is kept there: the same call again reuses
# a finished run, and continues one that was stopped.
folder = sys.argv[1] if len(sys.argv) > 1 else None
teacher = mulde.train("roth", graph, folder=folder, dim=32, epochs=6, eval_every=3, lr=2e-2)

# Every test triple is ranked in both directions, (h, r, ?) and (?, r, t), against all entities. Other known
# answers are left out ("filtered").
result = mulde.evaluate(teacher, graph, "test")
print({name: round(value, 3) for name, value in result.metrics().items()})
low, high = result.interval()
print(f"MRR is between {low:.3f} and {high:.3f} (95 %, bootstrap over triples)")

# Metrics by the cardinality of the relations: 1-1, 1-N, N-1 and N-N.
for kind, metrics in result.by_cardinality().items():
    print(f"{kind:4} {metrics['triples']:5} triples, MRR {metrics['mrr']:.3f}")

# Names may be identifiers or readable names; the error for an unknown name lists the nearest ones.
for answer in mulde.predict(teacher, graph, head="virus", relation="causes", top=5):
    print(answer.rank, answer.label, f"{answer.score:.3f}", answer.known_in or "new")

if folder:
    again = mulde.load(folder, graph)  # refuses a graph with other names
    assert mulde.evaluate(again, graph).metrics() == result.metrics()
