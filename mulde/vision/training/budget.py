"""The time budget of a run, divided among its stages."""

from __future__ import annotations


class Budget:
    """Seconds that are left for the stages of a run.

    The limit of a stage depends only on the records of the stages before it, so that it is the same in a repeated run.

    Parameters
    ----------
    seconds
        Time for all stages; None: unlimited.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.left = seconds

    def limit(self, fraction: float) -> float | None:
        """Seconds for the next stage, which takes this fraction of what is left; at least one second."""
        return None if self.left is None else max(1.0, fraction * self.left)

    def spend(self, seconds: float) -> None:
        """Subtract the duration of a stage."""
        if self.left is not None:
            self.left -= seconds
