"""Commands that are printed for a person to paste into a shell."""

from __future__ import annotations

import shlex


def command(*words: object, **options: object) -> str:
    """A command of ours, quoted for a shell: ``mulde``, its words, and options by name."""
    return shlex.join(["mulde", *map(str, words), *(word for each in options.items() for word in _option(*each))])


def is_command(text: str, *verbs: str) -> bool:
    """Whether a text is a command with one of these verbs, quoted as by `command`, and nothing else."""
    try:
        words = shlex.split(text)
    except ValueError:  # an open quotation
        return False
    return words[:1] == ["mulde"] and words[1:2] in [[verb] for verb in verbs] and shlex.join(words) == text


def _option(name: str, value: object) -> list[str]:
    """An option; a value that looks like an option is joined to its name."""
    return [f"--{name}={value}"] if str(value).startswith("-") else [f"--{name}", str(value)]
