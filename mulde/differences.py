"""Differences between two nested dictionaries of settings, in words."""

from __future__ import annotations

import json
from typing import Any

_ABSENT = object()


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """One line "key: was X, is Y" for every value that differs between two nested dictionaries."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            line
            for key in keys
            for line in differences(before.get(key, _ABSENT), now.get(key, _ABSENT), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [f"{name}: was {_printed(before)}, is {_printed(now)}"]


def _printed(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value)
