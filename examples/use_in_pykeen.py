"""mulde and PyKEEN: our model in PyKEEN's tools, our scorers in PyKEEN's pipeline, and its models as teachers.

python examples/use_in_pykeen.py
"""

import torch
from pykeen.evaluation import RankBasedEvaluator
from pykeen.pipeline import pipeline
from pykeen.predict import predict_target

import kge_data
import mulde
import mulde.pykeen  # registers our scorers in PyKEEN

graph = kge_data.load("nations")
training, validation, testing = mulde.pykeen.factories(graph)  # PyKEEN's triples, with our ids

# 1. A model trained by mulde as an ordinary PyKEEN model with the same scores.
ours = mulde.train("roth", graph, dim=16, epochs=5)
theirs = mulde.pykeen.to_pykeen(ours, graph)

head, relation = graph.entity_id("usa"), graph.relation_id("embassy")
_, scores = next(ours.blocks(torch.tensor([head]), torch.tensor([2 * relation])))  # inside, r is 2r, its inverse 2r+1
same = torch.allclose(scores, theirs.predict_t(torch.tensor([[head, relation]])), atol=1e-5)
print("equal scores:", same)
assert same

# PyKEEN's predictions and its evaluator work on it.
print(predict_target(theirs, head="usa", relation="embassy", triples_factory=training).df.head(3))
known = [training.mapped_triples, validation.mapped_triples]
report = RankBasedEvaluator().evaluate(
    theirs, testing.mapped_triples, additional_filter_triples=known, batch_size=64, use_tqdm=False
)
print("MRR of PyKEEN:", round(report.get_metric("mrr"), 4))
print("MRR of mulde: ", round(mulde.evaluate(ours, graph).metrics()["mrr"], 4))

# 2. Our scorers as models in PyKEEN's pipeline. Always name the loss.
result = pipeline(
    model="RefH",
    model_kwargs={"embedding_dim": 16},
    training=training,
    validation=validation,
    testing=testing,
    loss="bcewithlogits",
    training_kwargs={"num_epochs": 3, "use_tqdm": False, "use_tqdm_batch": False},
    evaluation_kwargs={"use_tqdm": False},
    random_seed=0,
)
print("RefH in PyKEEN's pipeline, MRR:", round(result.get_metric("mrr"), 4))

# A model trained there can be a teacher here.
teacher = mulde.pykeen.from_pykeen(result.model)
junior = mulde.distil("roth", [teacher], graph, dim=8, epochs=3, method="average")
print("its Junior, MRR:", round(mulde.evaluate(junior, graph).metrics()["mrr"], 4))
