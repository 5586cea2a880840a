"""Batches for episodic training: two episodes each, which are drawn from one or two domains."""

from __future__ import annotations

import torch
from torch import Tensor

from mulde.vision.data.domains import domains_of
from mulde.vision.data.episodes import EpisodeShape, episodes
from mulde.vision.data.images import ImageSet
from mulde.vision.training.feeds import ImageFeed
from mulde.vision.training.options import Training


class EpisodePairs(ImageFeed):
    """Batches of two episodes: the first of one domain, the second of another; an epoch has one pair of domains.

    The rows of a batch are those of the first episode's support, of its queries, and likewise of the second; each class
    by class, see `Episode`. Batches are not divided among processes.
    """

    def __init__(
        self,
        images: ImageSet,
        shape: EpisodeShape,
        count: int,
        training: Training,
        seed: int,
        same_epochs: int = 0,
    ) -> None:
        """
        Parameters
        ----------
        count
            Batches of an epoch.
        training
            Augmentation.
        same_epochs
            First epochs in which both episodes are of the same domain.

        Raises
        ------
        UsageError
            If a domain that is drawn has too few images for an episode.
        """
        self.shape, self.count, self.same_epochs = shape, count, same_epochs
        self._domains = torch.zeros_like(images.labels) if images.domains is None else images.domains
        plain = training.feed(images, seed)
        size = 2 * shape.ways * (shape.shots + shape.queries)
        super().__init__(images, size, seed=seed, augment=plain.augment, augment_share=plain.augment_share, whole=True)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: draw its domains and episodes."""
        self.epoch, self.position = epoch, 0
        generator = self._generator(0)
        numbers = self._domains.unique()
        order = numbers[torch.randperm(len(numbers), generator=generator)].tolist()
        pair = (order[0], order[0] if epoch < self.same_epochs else order[min(1, len(order) - 1)])
        drawn = [self._episodes(domain, generator) for domain in pair]
        self.rows = torch.stack(drawn, 1).flatten()

    def _episodes(self, domain: int, generator: torch.Generator) -> Tensor:
        """Rows (count, images of an episode) of episodes of a domain."""
        rows = (self._domains == domain).nonzero().flatten()
        seed = int(torch.randint(2**31, (), generator=generator))
        found = episodes(self.images.labels[rows], self.shape, self.count, seed)
        return torch.stack([rows[torch.cat([task.support, task.query])] for task in found])


def each_domain(images: ImageSet) -> dict[int, ImageSet]:
    """The images of each domain, by number. Raises UsageError where there are fewer than two domains."""
    domains = domains_of(images)
    return {number: images[domains == number] for number in domains.unique().tolist()}
