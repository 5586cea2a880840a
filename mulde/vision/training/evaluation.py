"""Evaluation of trained networks by task: accuracy, a linear probe on frozen features, detection metrics."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.engine.protocol import Task, Trained
from mulde.metrics.classification import accuracy
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models.exits import ExitNetwork
from mulde.vision.training.detection import detection_metrics
from mulde.vision.training.feeds import pass_over


def evaluate(trained: Trained, data: Any, *, metric: str = "", shots: int | None = None) -> dict[str, float]:
    """Metrics of trained networks on the test part, as their task requires.

    Parameters
    ----------
    trained
        Result of a method's training.
    data
        The split of images that the networks were trained on. A stream has no test part; its figures come from the
        training.
    metric
        Metric that is also computed for the other networks, under their names; by default the first of the task.
    shots
        Labelled images per class for the linear probe of embeddings; None: all training images.
    """
    if trained.task == "segment":
        return dict(trained.figures)
    found = network_metrics(trained.student, trained.task, data, shots)
    metric = metric if metric in found else next(iter(found))
    others = {
        name: network_metrics(network, trained.task, data, shots)[metric]
        for name, network in trained.networks.items()
        if trained.task != "classify" or has_logits(network, data.test)
    }
    return {**found, **others, **trained.figures}


def network_metrics(network: nn.Module, task: Task, data: Any, shots: int | None = None) -> dict[str, float]:
    """Metrics of one network on the test part; see `evaluate`."""
    if task == "detect":
        return detection_metrics(network, data.test)
    if task == "embed":
        return {"accuracy": probe_accuracy(network, data.train, data.test, shots)}
    return {"accuracy": network_accuracy(network, data.test)}


def mean_metrics(networks: dict[str, nn.Module], task: Task, data: Any, shots: int | None = None) -> dict[str, float]:
    """Metrics as means over networks, for peers; and the first metric of each network under its name."""
    found = {name: network_metrics(network, task, data, shots) for name, network in networks.items()}
    metrics = next(iter(found.values()))
    means = {metric: sum(own[metric] for own in found.values()) / len(found) for metric in metrics}
    return means | {name: next(iter(own.values())) for name, own in found.items()}


def predicted_classes(network: nn.Module, images: ImageSet) -> Tensor:
    """Predicted class (n,) of every image by a network that returns `Features`."""
    return logits_of(network, images).argmax(1)


def logits_of(network: nn.Module, images: ImageSet) -> Tensor:
    """Logits (n, k) of every image."""
    return _outputs(network, images, "logits")


def has_logits(network: nn.Module, images: ImageSet) -> bool:
    """Whether a network has logits; those of a network for other classes are withheld (`WithClasses`)."""
    return _outputs(network, images[torch.arange(1)], "logits").shape[1] > 0


def network_accuracy(network: nn.Module, images: ImageSet) -> float:
    """Fraction of images that are classified correctly."""
    return accuracy(predicted_classes(network, images).numpy(), images.labels.numpy())


@torch.no_grad()
def exit_logits(network: ExitNetwork, images: ImageSet) -> Tensor:
    """Logits (exits, n, k) of every exit, from shallow to deep; the network is left in eval mode."""
    network.eval()
    device = _device(network)
    batches = [[each.logits.cpu() for each in network.exits(batch.images.to(device))] for batch in pass_over(images)]
    return torch.stack([torch.cat(parts) for parts in zip(*batches, strict=True)])


def exit_metrics(network: ExitNetwork, images: ImageSet) -> dict[str, float]:
    """Accuracy of every exit, and of the mean of their probabilities; agreement of the first exit with the deepest."""
    logits, labels = exit_logits(network, images), images.labels.numpy()
    found = {f"exit_{i}": accuracy(own.argmax(1).numpy(), labels) for i, own in enumerate(logits, 1)}
    return {
        **found,
        "exits_mean": accuracy(logits.softmax(2).mean(0).argmax(1).numpy(), labels),
        "agreement": accuracy(logits[0].argmax(1).numpy(), logits[-1].argmax(1).numpy()),
    }


def pooled_features(network: nn.Module, images: ImageSet) -> Tensor:
    """(n, d) features before the classifier."""
    return _outputs(network, images, "pooled")


def linear_probe(train: Tensor, labels: Tensor, test: Tensor, penalty: float = 1e-3) -> Tensor:
    """Logits (n, k) of test features by logistic regression on training features, solved to its minimum.

    The problem is convex, so the result depends on no seed, learning rate or stopping rule.

    Parameters
    ----------
    train, test
        Features (m, d) and (n, d); both are standardised by the training part.
    labels
        Classes (m,) of the training features.
    penalty
        Weight of half the squared weights.
    """
    mean, deviation = train.mean(0), train.std(0).clamp_min(1e-6)
    known, unknown = ((x.double() - mean.double()) / deviation.double() for x in (train, test))
    weight, bias = logistic_regression(known, labels, penalty)
    return unknown @ weight.T + bias


def logistic_regression(features: Tensor, labels: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights (k, d) and biases (k,) that minimise the mean cross entropy plus penalty/2 · |weights|².

    Parameters
    ----------
    features
        (m, d) float64.
    labels
        (m,) classes; k is the largest plus one.
    """
    classes = int(labels.max()) + 1
    weight = torch.zeros(classes, features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        solver.zero_grad()
        fit = functional.cross_entropy(features @ weight.T + bias, labels)
        loss = fit + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        solver.step(objective)
    return weight.detach(), bias.detach()


def probe_accuracy(network: nn.Module, train: ImageSet, test: ImageSet, shots: int | None = None) -> float:
    """Accuracy of a linear probe that is trained on the first `shots` images of each class; None: on all images."""
    if shots is not None:
        ids = torch.arange(len(train))
        train = train[torch.cat([ids[train.labels == label][:shots] for label in train.labels.unique()])]
    logits = linear_probe(pooled_features(network, train), train.labels, pooled_features(network, test))
    return accuracy(logits.argmax(1).numpy(), test.labels.numpy())


def missing_class_recall(network: nn.Module, split: Split, label: int) -> dict[str, float]:
    """Recall on the test images of a class that was not in the training set, without and with a raised logit.

    A network that was trained without a class underrates it. For the second figure, the offset of the class's logit
    that gives the best accuracy on the validation part is added, as in Hinton et al. 2015 (on their test part).
    """
    logits = _outputs(network, split.valid, "logits")
    offsets = torch.arange(0, 20.25, 0.25)
    right = [(_lifted(logits, label, offset).argmax(1) == split.valid.labels).double().mean() for offset in offsets]
    best = offsets[int(torch.stack(right).argmax())]
    found = _outputs(network, split.test, "logits")[split.test.labels == label]
    return {
        "missing_recall": (found.argmax(1) == label).double().mean().item(),
        "lifted_recall": (_lifted(found, label, best).argmax(1) == label).double().mean().item(),
    }


def _lifted(logits: Tensor, label: int, offset: Tensor) -> Tensor:
    return logits + offset * functional.one_hot(torch.tensor(label), logits.shape[1])


@torch.no_grad()
def _outputs(network: nn.Module, images: ImageSet, field: str) -> Tensor:
    was_training = network.training
    network.eval()
    device = _device(network)
    double = any(parameter.dtype == torch.float64 for parameter in network.parameters())
    dtype = torch.float64 if double else torch.float32
    found = [getattr(network(batch.images.to(device, dtype)), field).cpu() for batch in pass_over(images)]
    network.train(was_training)
    return torch.cat(found)


def _device(network: nn.Module) -> torch.device:
    """The device of a network, which may have no parameters (an ONNX file)."""
    return next((tensor.device for tensor in chain(network.parameters(), network.buffers())), torch.device("cpu"))
