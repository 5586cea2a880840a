"""Generator of pictures from random numbers, for distillation without data.

    numbers ─▶ linear ─▶ map of a quarter ─▶ 2 x (enlarge, 3x3, normalisation, leaky ReLU) ─▶ 3x3 ─▶ normalisation

The form is that of DAFL's generator (Chen et al. 2019, arXiv 1904.01186). The last normalisation has no parameters: the
pictures have mean 0 and deviation 1 in every channel, as standardised images have.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Generator(nn.Module):
    """Pictures (b, channels, size, size) from numbers (b, latent).

    Parameters
    ----------
    latent
        Random numbers for a picture.
    width
        Channels of the layers.
    channels
        Channels of a picture.
    size
        Rows and columns of a picture.
    """

    def __init__(self, latent: int, width: int, channels: int, size: int) -> None:
        super().__init__()
        self.latent, self.sizes = latent, (-(-size // 4), -(-size // 2), size)
        self.first = nn.Linear(latent, width * self.sizes[0] ** 2)
        self.norm = nn.BatchNorm2d(width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2))
            for _ in range(2)
        )
        self.last = nn.Sequential(nn.Conv2d(width, channels, 3, padding=1), nn.BatchNorm2d(channels, affine=False))

    def forward(self, numbers: Tensor) -> Tensor:
        """(b, latent) -> (b, channels, size, size)."""
        side = self.sizes[0]
        found = self.norm(self.first(numbers).view(len(numbers), -1, side, side))
        for size, layer in zip(self.sizes[1:], self.layers, strict=True):
            found = layer(functional.interpolate(found, size=(size, size)))
        pictures: Tensor = self.last(found)
        return pictures
