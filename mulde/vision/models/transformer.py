"""Vision transformer, with a class token and, for DeiT, a distillation token.

    patches ─▶ linear ─▶ [class, distillation, patches] + positions ─▶ blocks ─▶ normalisation ─▶ a head for each token

Sources: Dosovitskiy et al. 2021, arXiv 2010.11929; Touvron et al. 2021, arXiv 2012.12877 (the distillation token).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.vision.models.staged import Features, StagedNetwork


class Attention(nn.Module):
    """Self-attention with several heads, written out so that it has second derivatives everywhere."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.joint, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, n, d) -> (b, n, d)."""
        b, n, d = tokens.shape
        query, key, value = self.joint(tokens).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(2, 3) * (d // self.heads) ** -0.5).softmax(-1)
        return self.out((weights @ value).transpose(1, 2).reshape(b, n, d))


class Block(nn.Module):
    """Attention and a network of two layers, each after a normalisation and beside a shortcut."""

    is_residual = True  # stochastic depth may skip it

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first_norm, self.attention = nn.LayerNorm(width, eps=1e-6), Attention(width, heads)
        self.second_norm = nn.LayerNorm(width, eps=1e-6)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, n, d) -> (b, n, d)."""
        tokens = tokens + self.attention(self.first_norm(tokens))
        return tokens + self.layers(self.second_norm(tokens))


class VisionTransformer(StagedNetwork):
    """A transformer on the patches of images of one size.

    Every block is a stage, whose map (b, d, h / patch, w / patch) is made of the tokens of the patches. The pooled
    features are the last class token. With a distillation token, `Features.heads` has the logits of both heads, and the
    logits are their mean, in training as in inference. Tokens, positions and linear layers begin with deviations of
    1 / √(3d), as torch's linear layers do: the papers' 0.02 at a width of 768, and more in narrow networks, which
    learn far more slowly from 0.02.

    Parameters
    ----------
    width
        d, a multiple of `heads`.
    depth
        Number of blocks.
    heads
        Heads of the attention.
    patch
        Rows and columns of a patch.
    size
        Rows and columns of the images, a multiple of `patch`.
    distilled
        Whether to have a distillation token, with a head of its own.

    Raises
    ------
    UsageError
        If width and heads, or size and patch, do not fit each other.
    """

    def __init__(
        self,
        classes: int,
        input_channels: int,
        *,
        width: int,
        depth: int,
        heads: int,
        patch: int,
        size: int,
        distilled: bool = False,
    ) -> None:
        if not heads or width % heads:
            raise UsageError(f"the width of a vision transformer is a multiple of its heads; got {width} and {heads}")
        if not patch or size % patch:
            raise UsageError(
                f"images of {size} x {size} pixels are not a whole number of patches of {patch} x {patch}; choose "
                "another patch, or another size with --data ...,size=N"
            )
        stem = nn.Conv2d(input_channels, width, patch, patch)
        blocks = [Block(width, heads) for _ in range(depth)]
        super().__init__(stem, blocks, nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes), [width] * depth)
        self.size, self.own_tokens = size, 2 if distilled else 1
        self.tokens = nn.Parameter(torch.empty(1, self.own_tokens, width))
        self.positions = nn.Parameter(torch.empty(1, self.own_tokens + (size // patch) ** 2, width))
        self.distillation = nn.Linear(width, classes) if distilled else None
        for parameter in (self.tokens, self.positions):
            nn.init.trunc_normal_(parameter, std=(3 * width) ** -0.5)

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, size, size)."""
        if tuple(images.shape[2:]) != (self.size, self.size):
            raise UsageError(
                f"this vision transformer takes images of {self.size} x {self.size} pixels, got "
                f"{images.shape[2]} x {images.shape[3]}"
            )
        patches = self.stem(images)
        b, d, h, w = patches.shape
        found, tokens = [], torch.cat([self.tokens.expand(b, -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        tokens = tokens + self.positions
        for block in self.stages:
            tokens = block(tokens)
            found.append(tokens[:, self.own_tokens :].transpose(1, 2).reshape(b, d, h, w))
        own = self.last(tokens[:, : self.own_tokens])
        logits = self.classifier(own[:, 0])
        if self.distillation is None:
            return Features(tuple(found), own[:, 0], logits)
        other = self.distillation(own[:, 1])
        return Features(tuple(found), own[:, 0], (logits + other) / 2, (logits, other))
