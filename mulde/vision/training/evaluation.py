"""How well a network classifies, and how well a linear layer on its frozen features does."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.metrics.classification import accuracy
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.training.feeds import pass_over


def predicted_classes(network: nn.Module, images: ImageSet) -> Tensor:
    """The best class (n,) of every image by a network that answers with `Features`."""
    return _answers(network, images, "logits").argmax(1)


def network_accuracy(network: nn.Module, images: ImageSet) -> float:
    """Share of images classified as they are labelled."""
    return accuracy(predicted_classes(network, images).numpy(), images.labels.numpy())


def pooled_features(network: nn.Module, images: ImageSet) -> Tensor:
    """(n, d) features before the classifier."""
    return _answers(network, images, "pooled")


def linear_probe(train: Tensor, labels: Tensor, test: Tensor, penalty: float = 1e-3) -> Tensor:
    """Logits (n, k) of test features by logistic regression on training features, solved to its minimum.

    Features (m, d) and (n, d) are standardised by the training part; penalty: of half the squared weights.
    The problem is convex, so no seed, rate or stopping rule enters.
    """
    mean, deviation = train.mean(0), train.std(0).clamp_min(1e-6)
    known, unknown = ((x.double() - mean.double()) / deviation.double() for x in (train, test))
    classes = int(labels.max()) + 1
    weight = torch.zeros(classes, known.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        solver.zero_grad()
        fit = functional.cross_entropy(known @ weight.T + bias, labels)
        loss = fit + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(objective)
    return unknown @ weight.detach().T + bias.detach()


def probe_accuracy(network: nn.Module, train: ImageSet, test: ImageSet, shots: int | None = None) -> float:
    """Accuracy of a linear probe trained on the first `shots` images of each class; None: on all."""
    if shots is not None:
        ids = torch.arange(len(train))
        train = train[torch.cat([ids[train.labels == label][:shots] for label in train.labels.unique()])]
    logits = linear_probe(pooled_features(network, train), train.labels, pooled_features(network, test))
    return accuracy(logits.argmax(1).numpy(), test.labels.numpy())


def missing_class_recall(network: nn.Module, split: Split, label: int) -> dict[str, float]:
    """Recall on test images of a class that was not in the training set: as it is, and with its logit lifted.

    A network that never met a class underrates it. The second figure adds to its logit what gives the best
    accuracy on the validation part, as Hinton et al. 2015 did (on their test part).
    """
    logits = _answers(network, split.valid, "logits")
    offsets = torch.arange(0, 20.25, 0.25)
    right = [(_lifted(logits, label, offset).argmax(1) == split.valid.labels).double().mean() for offset in offsets]
    best = offsets[int(torch.stack(right).argmax())]
    found = _answers(network, split.test, "logits")[split.test.labels == label]
    return {
        "missing_recall": (found.argmax(1) == label).double().mean().item(),
        "lifted_recall": (_lifted(found, label, best).argmax(1) == label).double().mean().item(),
    }


def _lifted(logits: Tensor, label: int, offset: Tensor) -> Tensor:
    return logits + offset * functional.one_hot(torch.tensor(label), logits.shape[1])


@torch.no_grad()
def _answers(network: nn.Module, images: ImageSet, what: str) -> Tensor:
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    found = [getattr(network(batch.images.to(device)), what).cpu() for batch in pass_over(images)]
    network.train(was_training)
    return torch.cat(found)
