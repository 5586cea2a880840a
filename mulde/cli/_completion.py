"""Completion scripts for shells, made by shtab from the options of all verbs."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from mulde import catalogue
from mulde.config.options import Option, options_of
from mulde.config.values import alternatives
from mulde.errors import missing, unknown


def completion(shell: str, verbs: Mapping[str, Path]) -> str:
    """The script of a shell.

    Raises
    ------
    UsageError
        For a shell that shtab does not know.
    """
    try:
        import shtab
    except ImportError as error:
        raise missing("completion scripts are made by shtab", "completion") from error
    if shell not in shtab.SUPPORTED_SHELLS:
        raise unknown("shell", shell, shtab.SUPPORTED_SHELLS, "mulde --help")
    root = argparse.ArgumentParser("mulde")
    parsers = root.add_subparsers()
    for verb, path in verbs.items():
        module = importlib.import_module(f"mulde.cli.{verb}")
        config = module.compose({}) if hasattr(module, "compose") else module.Config
        parser = parsers.add_parser(verb, help=_plain(catalogue.summary(path)))
        for option in options_of(config):
            _add(parser, option, shtab.FILE)
    script: str = shtab.complete(root, shell)
    return script


def _add(parser: argparse.ArgumentParser, option: Option, file: Any) -> None:
    kinds = alternatives(option.kind)
    about: dict[str, Any] = {"help": _plain(option.about)}
    if option.hint is bool:
        parser.add_argument(*option.words, action="store_true", **about)
        return
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    about["choices"] = words or None
    if option.positional:
        about["nargs"] = "*"
    action = parser.add_argument(*((option.name,) if option.positional else option.words), **about)
    if Path in kinds:
        action.complete = file  # type: ignore[attr-defined]


def _plain(text: str) -> str:
    """The first sentence, without what argparse or a shell would replace."""
    return re.sub(r"[`%$\"'\\\[\]:]", "", re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0])
