"""Names of the parts of a data set. Imports no torch."""

from __future__ import annotations

from typing import Literal

Part = Literal["test", "valid", "train", "all"]
