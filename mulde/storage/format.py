"""Names and format of the files of a stored model, of any kind. Imports no torch."""

from __future__ import annotations

FORMAT = "mulde model 2"
DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"
