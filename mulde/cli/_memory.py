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
            return f"out of memory{_wanted(text)}; {LOWER.get(verb, 'take a smaller model or fewer data')}"
    return None


def _wanted(text: str) -> str:
    """How much could not be allocated, where the message says so; torch counts bytes on the CPU."""
    found = re.search(r"allocate ([\d.]+) (\w+)", text)
    if found is None:
        return ""
    number, unit = (f"{float(found[1]) / 1e9:,.1f}", "GB") if found[2] == "bytes" else found.groups()
    return f" ({number} {unit} more were needed)"
