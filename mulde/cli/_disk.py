"""Errors of a disk, in a sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

REASONS = {
    errno.ENOSPC: ("no space left on the device where the result is written", "free some space"),
    errno.EDQUOT: ("disk quota exceeded where the result is written", "free some space of your quota"),
    errno.EFBIG: ("a file is larger than the limit for files", "raise the limit (`ulimit -f`)"),
    errno.EROFS: ("the file system of the result is read-only", "make it writable or name another path"),
    errno.EIO: ("input or output error of the disk", "check the disk"),
}  # fmt: skip


def disk_error(causes: Iterable[BaseException]) -> str | None:
    """The sentence for an error with these causes; None if the disk is not the reason."""
    for cause in causes:
        for code, (reason, advice) in REASONS.items():
            if getattr(cause, "errno", None) == code or os.strerror(code) in str(cause):  # libraries keep only the text
                return f"{reason}; {advice}, and the same command continues"
    return None
