"""Small networks: sizes known from the literature, open features, and train-only parts that stay outside."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mulde.vision.models import Features, network, seeded
from mulde.vision.models.blocks import CosineClassifier
from mulde.vision.models.heads import Adapter, auxiliary_heads, projection_head

SMALL = ["cnn-4-8-16", "cnn-4-8", "resnet8", "resnet8x4", "wrn-10-1"]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet20", 0.278),
        ("resnet32", 0.473),
        ("resnet56", 0.862),
        ("resnet8x4", 1.234),
        ("wrn-16-2", 0.704),
    ],
)
def test_parameters_on_cifar_100(name: str, millions: float) -> None:
    """Counts that distillation toolkits print for these networks with 100 classes."""
    assert count(network(name, 100)) / 1e6 == pytest.approx(millions, abs=0.0015)


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        ("imagenet-resnet18", 1000, 11_689_512),
        ("imagenet-resnet34", 1000, 21_797_672),
        ("imagenet-resnet50", 1000, 25_557_032),
        ("imagenet-resnet101", 1000, 44_549_160),
        ("imagenet-resnet152", 1000, 60_192_808),
        ("cifar-resnet18", 10, 11_173_962),
    ],
)
def test_parameters_of_large_networks(name: str, classes: int, parameters: int) -> None:
    """Counts that torchvision's documentation gives; that of the last one is of the usual code for CIFAR-10."""
    with torch.device("meta"):
        assert count(network(name, classes)) == parameters


def test_convolutions_of_vgg16() -> None:
    """14,714,688 weights and biases in the paper; here normalisation brings two numbers per channel for the bias."""
    with torch.device("meta"):
        net = network("vgg16", 10)
    biases = sum(module.num_features for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    assert count(net.stages) == 14_714_688 + biases


@pytest.mark.parametrize(
    ("name", "widths", "sizes"),
    [
        ("imagenet-resnet18", (64, 128, 256, 512), (16, 8, 4, 2)),
        ("imagenet-resnet50", (256, 512, 1024, 2048), (16, 8, 4, 2)),
        ("imagenet-resnet18x2", (128, 256, 512, 1024), (16, 8, 4, 2)),
        ("cifar-resnet18", (64, 128, 256, 512), (63, 32, 16, 8)),
        ("vgg11", (64, 128, 256, 512, 512), (63, 32, 16, 8, 4)),
    ],
)
def test_stages_of_large_networks(name: str, widths: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    net = network(name, 5, 1, cosine=True).eval()
    with torch.no_grad():
        found = net(torch.randn(1, 1, 63, 63))
    assert net.widths == widths and isinstance(net.classifier, CosineClassifier)
    assert [x.shape for x in found.stages] == [(1, w, s, s) for w, s in zip(widths, sizes, strict=True)]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 15)])
def test_features_are_what_they_say(name: str, channels: int, size: int) -> None:
    net = network(name, 7, channels, channels=4).eval()
    images = torch.randn(2, channels, size, size)
    found = net(images)
    assert isinstance(found, Features)
    sizes = [size, -(-size // 2), -(-size // 4)][: len(net.widths)]
    assert [x.shape for x in found.stages] == [(2, w, s, s) for w, s in zip(net.widths, sizes, strict=True)]
    assert torch.equal(net.last(found.stages[-1]).mean((2, 3)), found.pooled)
    assert torch.equal(net.classifier(found.pooled), found.logits)
    assert found.logits.shape == (2, 7)


def test_the_network_of_federated_averaging() -> None:
    """Stages of half the size each, then one position; no normalisation, hence nothing but parameters."""
    net = network("fedavg-3-5-7", 4, 2, size=10)
    found = net(torch.randn(6, 2, 10, 10))
    assert [x.shape[1:] for x in found.stages] == [(3, 5, 5), (5, 2, 2), (7, 1, 1)]
    assert torch.equal(found.pooled, found.stages[-1].flatten(1)) and found.logits.shape == (6, 4)
    assert count(net) == sum(value.numel() for value in net.state_dict().values())
    torch.testing.assert_close(net(torch.ones(2, 2, 10, 10)).logits[0], net(torch.ones(1, 2, 10, 10)).logits[0])


def test_every_stage_reaches_the_loss() -> None:
    found = network("wrn-10-1", 3, 1, channels=4)(torch.randn(2, 1, 8, 8))
    gradients = torch.autograd.grad(found.logits.sum(), found.stages)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet21", '"resnet21": the depth is 6n + 2; got 21, the nearest is 20'),
        ("wrn-17-2", '"wrn-17-2": the depth is 6n + 4; got 17, the nearest is 16'),
        (
            "vgg8",
            'no network called "vgg8"; names look like cnn-8-16-32, bnext-16-32-64, resnet20 (depth 6n + 2), '
            "resnet8x4, wrn-16-2 (depth 6n + 4), mlp-64-64, fedavg-32-64-512, imagenet-resnet50, cifar-resnet18, "
            "vgg16, vit-tiny-patch16, deit-tiny-patch16",
        ),
    ],
)
def test_unknown_networks(name: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        network(name, 10)
    assert str(error.value) == message


def test_fully_connected() -> None:
    net = network("mlp-12-6", 4, 3, size=5)
    images = torch.randn(2, 3, 5, 5)
    found = net(images)
    first = torch.relu(images.flatten(1) @ net.stages[0][0].weight[:, :, 0, 0].T + net.stages[0][0].bias)
    torch.testing.assert_close(found.stages[0], first[:, :, None, None])
    assert found.pooled.shape == (2, 6) and found.logits.shape == (2, 4)
    with pytest.raises(ValueError, match='"mlp-8" is made for images of one size, and this method gives no size'):
        network("mlp-8", 4)
    with pytest.raises(ValueError, match='no network called "mlp-"'):
        network("mlp-", 4)


def test_weights_depend_on_seed_and_name_only() -> None:
    def weights(seed: int, name: str) -> torch.Tensor:
        with seeded(seed, name):
            return network("cnn-4", 3).classifier.weight.detach()

    torch.manual_seed(1)
    outside = torch.rand(3)
    torch.manual_seed(1)
    first = weights(0, "peer_a")
    assert torch.equal(torch.rand(3), outside)
    assert torch.equal(weights(0, "peer_a"), first)
    assert not torch.equal(weights(0, "peer_b"), first)
    assert not torch.equal(weights(1, "peer_a"), first)


@pytest.mark.parametrize("name", SMALL)
def test_auxiliary_heads_end_as_small_as_the_trunk(name: str) -> None:
    net, heads = network(name, 5, 1, channels=4), auxiliary_heads(name, 5, channels=4)
    found = net(torch.randn(2, 1, 14, 14))
    assert len(heads) == len(net.widths) - 1
    for head, features in zip(heads, found.stages, strict=False):
        assert head.layers(features).shape[2:] == found.stages[-1].shape[2:]
        assert head(features).shape == (2, 5)


def test_auxiliary_heads_of_a_wide_network_are_those_of_dcm() -> None:
    """WRN-28-10: after stage 1 four blocks of 320 and two of 640, after stage 2 four blocks of 1280."""
    with torch.device("meta"):
        first, second = auxiliary_heads("wrn-28-10", 100)
    assert [[block.first.out_channels for block in part] for part in first.layers[:2]] == [
        [320] * 4,
        [640] * 2,
    ]
    assert [block.first.out_channels for block in second.layers[0]] == [1280] * 4


def test_adapter_and_projection() -> None:
    assert Adapter(4, 6)(torch.randn(2, 4, 8, 8), (4, 4)).shape == (2, 6, 4, 4)
    head = projection_head([8, 16, 4])
    assert [type(layer).__name__ for layer in head] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert head[0].bias is None and head[-1].bias is not None
    assert isinstance(projection_head([8, 16, 4], last_norm=True)[-1], nn.BatchNorm1d)


def test_cosine_classifier_sees_directions_only() -> None:
    classifier, pooled = CosineClassifier(4, 3), torch.randn(5, 4)
    logits = classifier(pooled)
    torch.testing.assert_close(classifier(3 * pooled), logits)
    assert logits.abs().max() <= 20
