"""Stochastic depth per image: the rows that a block computes, and the network afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.vision.models import network
from mulde.vision.models.stochastic_depth import kept_rows, residual_blocks, stochastic_depth


def drawn(rows: int = 400) -> Tensor:
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("relu", [False, True])
def test_kept_rows_equal_a_mask(relu: bool) -> None:
    """Gathered, computed and put back, it is x + mask f(x) / (1 - rate), and its ReLU where x is not negative."""
    x, rate = (drawn().abs() if relu else drawn()).requires_grad_(), 0.3
    last = torch.relu if relu else torch.nn.Identity()
    torch.manual_seed(1)
    found = kept_rows(lambda rows: last(rows - 1.5 * rows.sin()), rate, relu, x)
    torch.manual_seed(1)
    mask = (torch.rand(len(x)) >= rate).double().unsqueeze(1)
    expected = last(x - mask * 1.5 * x.sin() / 0.7)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)
    assert 0.25 < 1 - mask.mean() < 0.35


def test_only_kept_rows_are_computed() -> None:
    net, rows = network("resnet20", 3, 1, channels=4), []
    blocks = residual_blocks(net)
    assert len(blocks) == 7
    for one in blocks:
        one.first.register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    images = torch.randn(64, 1, 8, 8)
    torch.manual_seed(0)
    with stochastic_depth(blocks, 0.5):
        net(images)
    assert len(rows) == 7 and 0.4 < sum(rows) / (7 * 64) < 0.6 and len(set(rows)) > 1
    rows.clear()
    net(images)
    assert rows == [64] * 7


def test_the_network_is_unchanged_afterwards() -> None:
    net, images = network("wrn-16-2", 3, 1, channels=4).eval(), torch.randn(4, 1, 8, 8)
    before, keys = net(images).logits, list(net.state_dict())
    with pytest.raises(ZeroDivisionError), stochastic_depth(blocks := residual_blocks(net), 1.0):
        assert list(net.state_dict()) == keys
        raise ZeroDivisionError
    assert torch.equal(net(images).logits, before) and all("forward" not in vars(one) for one in blocks)
    with stochastic_depth(blocks, 0.0):
        assert torch.equal(net(images).logits, before)


def test_at_rate_1_blocks_are_removed() -> None:
    x = drawn(5)
    assert kept_rows(torch.sin, 1.0, False, x) is x


def test_blocks_that_can_be_skipped() -> None:
    class Own(nn.Module):
        is_residual = True

    class BasicBlock(nn.Module):
        def __init__(self, downsample: nn.Module | None) -> None:
            super().__init__()
            self.downsample = downsample

    plain, changing = BasicBlock(None), BasicBlock(nn.Identity())
    own = Own()
    assert residual_blocks(nn.Sequential(nn.Linear(1, 1), own, plain, changing)) == [own, plain]
    assert [len(residual_blocks(network(name, 3, 1))) for name in ("resnet8", "cifar-resnet18", "wrn-16-2")] == [
        1,
        5,
        3,
    ]
    with pytest.raises(UsageError, match="skips residual blocks that keep their shape, and StagedNetwork has none"):
        residual_blocks(network("cnn-4-6", 3, 1))
