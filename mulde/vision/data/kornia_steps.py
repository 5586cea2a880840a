"""Augmentations of kornia by the text of a setting: names and arguments, joined by +.

    RandomRotation(15)+RandomGrayscale(p=0.2)

A name is that of a class of kornia.augmentation that changes images one by one and keeps their size. Arguments are
numbers, texts, tuples and lists; nothing else is evaluated.
"""

from __future__ import annotations

import ast
from typing import Any

import torch

from mulde.errors import UsageError, missing, unknown
from mulde.vision.data.augmentation import Augmentation


def kornia_steps(text: str, channels: int, size: tuple[int, int]) -> Augmentation:
    """The augmentations that a text names, for images in [0, 1].

    They draw from torch's generator, and are tried once on two images.

    Parameters
    ----------
    text
        As above.
    channels
        1 or 3; grey images are augmented in colour, with three equal channels, and become grey again.
    size
        Rows and columns.

    Raises
    ------
    UsageError
        For a text that names no such augmentations, or arguments that they refuse.
    MissingExtra
        Where kornia is missing.
    """
    try:
        import kornia.augmentation as K
    except ImportError as error:
        raise missing("augmentations by name are kornia's", "vision") from error
    single = K.AugmentationBase2D
    steps = []
    for name, arguments, named in _calls(text):
        kind = getattr(K, name, None)
        if not (isinstance(kind, type) and issubclass(kind, single)):
            known = [each for each, kind in vars(K).items() if isinstance(kind, type) and issubclass(kind, single)]
            raise unknown("augmentation of kornia", name, known, "python -c 'help(\"kornia.augmentation\")'")
        try:
            steps.append(kind(*arguments, **named))
        except Exception as error:  # checks of kornia raise errors of many kinds
            raise UsageError(f"augmentation {name}: kornia refuses its arguments, {_line(error)}") from error
    chain: Any = torch.nn.Sequential(*steps)

    def augmented(images: torch.Tensor) -> torch.Tensor:
        if channels == 3:
            return chain(images)
        return chain(images.expand(-1, 3, -1, -1)).mean(1, keepdim=True)

    try:
        with torch.random.fork_rng(devices=[]):
            shape = tuple(augmented(torch.rand(2, channels, *size)).shape)
    except Exception as error:
        raise UsageError(f"augmentation {text}: kornia cannot apply it to images {size}, {_line(error)}") from error
    if shape != (2, channels, *size):
        raise UsageError(
            f"augmentation {text}: makes images {shape[1:]} of {(channels, *size)}; they must keep their size"
        )
    return augmented


def _calls(text: str) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """Name, arguments and named arguments of every step."""
    try:
        return [_call(step) for step in _summands(ast.parse(text.strip(), mode="eval").body)]
    except (SyntaxError, ValueError) as error:
        raise UsageError(
            f"augmentation {text}: expected names of kornia's augmentations with their arguments, joined by +, as in "
            "RandomRotation(15)+RandomGrayscale(p=0.2)"
        ) from error


def _summands(tree: ast.expr) -> list[ast.expr]:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        return [*_summands(tree.left), *_summands(tree.right)]
    return [tree]


def _call(step: ast.expr) -> tuple[str, list[Any], dict[str, Any]]:
    if isinstance(step, ast.Name):
        return step.id, [], {}
    if not (isinstance(step, ast.Call) and isinstance(step.func, ast.Name)):
        raise ValueError
    named = {str(each.arg): ast.literal_eval(each.value) for each in step.keywords if each.arg}
    return step.func.id, [ast.literal_eval(each) for each in step.args], named


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
