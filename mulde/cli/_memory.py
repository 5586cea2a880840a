"""Out of memory, in a sentence that names what to lower."""

from __future__ import annotations

import re
from collections.abc import Iterable

SIGNS = ("not enough memory", "out of memory", "DefaultCPUAllocator", "Unable to allocate")
TRAINING = "lower --batch-size, --negatives or --dim"
LOWER = {
    "train": TRAINING,
    "run": f"{TRAINING}, or --parallel; with --method offline, --teacher-cache FOLDER keeps predictions on disk",
    "distil": f"{TRAINING}; with --method offline, --teacher-cache FOLDER keeps predictions on disk",
    "predict": "lower --chunk or --top",
    "evaluate": "lower --sample",
}


def out_of_memory(causes: Iterable[BaseException], verb: str) -> str | None:
    """The sentence for an error with these causes; None if memory is not the reason."""
    for cause in causes:
        text = str(cause)
        if isinstance(cause, MemoryError) or (isinstance(cause, RuntimeError) and any(sign in text for sign in SIGNS)):
            wanted = re.search(r"allocate ([\d.]+ ?\w+)", text)
            size = f" ({wanted[1]} more were needed)" if wanted else ""
            return f"out of memory{size}; {LOWER.get(verb, 'take a smaller model or fewer data')}"
    return None
