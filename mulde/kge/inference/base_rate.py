"""The base rate of lists of answers. Imports no torch.

Probabilities are fitted on as many false triples as true ones. In the list of answers to a query (h, r, ?) true ones
are rare. The odds of the fit are replaced by those of the list:

    logit p' = logit p + log odds - log odds of the fit        odds = m / n

(Saerens, Latinne and Decaestecker 2002, "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
equation 4) with m the mean number of answers in validation to a query that has any, and n the number of entities at
this position of the relation in train, from which the false triples of the fit are drawn. So p' is the probability that
a triple is in a held-out split, where the query has an answer there. Restricting the candidates does not change it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kge_data.inverse import num_internal, with_reciprocals
from kge_data.tripleset import TripleSet

SHRINKAGE = 10.0  # queries of the mean over all relations that are added to those of a relation


def odds_of_candidates(graph: TripleSet) -> NDArray[np.float64] | None:
    """The odds m / n (2r,) of each internal relation; None for a graph without training or validation triples."""
    if not len(graph.train) or not len(graph.valid):
        return None
    count = num_internal(graph.num_relations)
    answers = with_reciprocals(graph.valid)
    queries = np.unique(answers[:, :2], axis=0)
    triples, asked = (np.bincount(part[:, 1], minlength=count) for part in (answers, queries))
    mean = len(answers) / len(queries)
    each = (triples + SHRINKAGE * mean) / (asked + SHRINKAGE)
    seen = np.bincount(np.unique(with_reciprocals(graph.train)[:, 1:], axis=0)[:, 0], minlength=count)
    return each / np.maximum(seen, 1)
