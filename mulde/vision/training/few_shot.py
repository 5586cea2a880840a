"""Few-shot evaluation: heads that are fitted to the few labelled features of an episode, and their accuracy.

A head is a function of the support's features and labels and the features of the queries. It is fitted in every episode
anew, on features of a network that stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mulde.errors import UsageError
from mulde.vision.data.episodes import Episode
from mulde.vision.models.classifiers import classifier_of
from mulde.vision.training.evaluation import logistic_regression

Head = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(features (s, d), labels (s,), features (q, d)) -> logits (q, ways)."""


def prototype(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
    """Negative squared distance to the mean of each class (Snell et al. 2017, Prototypical Networks, eq. 1 and 2)."""
    return -(query.unsqueeze(1) - _means(support, labels)).square().sum(2)


def cosine(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
    """Cosine with the mean of each class (Chen et al. 2021, Meta-Baseline)."""
    return functional.normalize(query, dim=1) @ functional.normalize(_means(support, labels), dim=1).T


def logistic(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
    """Multinomial logistic regression, Σ CE + |W|²/2 solved to its minimum (Tian et al. 2020, RFS; C = 1)."""
    weight, bias = logistic_regression(support, labels, 1 / len(support))
    return query @ weight.T + bias


HEADS: dict[str, Head] = {"prototype": prototype, "logistic": logistic, "cosine": cosine}


def episode_accuracies(
    head: Head, views: Tensor, tasks: Sequence[Episode], normalise: bool = True
) -> NDArray[np.float64]:
    """Accuracy (e,) of a head in every episode.

    Parameters
    ----------
    head
        One of `HEADS`.
    views
        (v, n, d) features of all images; the first of a network as it is, the others of augmented images, which are
        further labelled examples.
    tasks
        Episodes, whose rows are those of the n images.
    normalise
        Scale all features to length 1.
    """
    views = views.double()
    views = functional.normalize(views, dim=2) if normalise else views
    found = []
    for task in tasks:
        support, labels = views[:, task.support].flatten(0, 1), task.support_labels.repeat(len(views))
        logits = head(support, labels, views[0, task.query])
        found.append((logits.argmax(1) == task.query_labels).double().mean().item())
    return np.array(found)


def means_classifier(network: nn.Module) -> nn.Linear:
    """The classifier of a network, which `set_class_means` can set.

    Raises
    ------
    UsageError
        If it is not a linear layer with a bias.
    """
    found = classifier_of(network)
    if not isinstance(found, nn.Linear) or found.bias is None:
        raise UsageError(
            "prototypes need a network whose classifier is a linear layer with a bias; take another network"
        )
    return found


def set_class_means(classifier: nn.Linear, features: Tensor, labels: Tensor) -> None:
    """Give a linear layer the weights of `prototype`: its logits are |f|² - |f - c_k|², with the same probabilities.

    Parameters
    ----------
    classifier
        Linear layer of k classes with a bias, changed in place.
    features
        (n, d) its inputs for labelled images, whose means are c_k.
    labels
        (n,) classes; those below 0 are left out, and classes without images are never predicted.
    """
    known, device = labels >= 0, classifier.weight.device
    features, labels = features[known].to(device, classifier.weight.dtype), labels[known].to(device)
    counts = labels.bincount(minlength=len(classifier.weight))
    sums = torch.zeros_like(classifier.weight).index_add_(0, labels, features)
    means = sums / counts.clamp(min=1).unsqueeze(1)
    with torch.no_grad():
        classifier.weight.copy_(2 * means)
        classifier.bias.copy_(torch.where(counts > 0, -means.square().sum(1), -1e4))


def _means(support: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([support[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
