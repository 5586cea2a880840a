"""The model that a verb is given."""

from __future__ import annotations

from pathlib import Path

from mulde.cli._output import announce
from mulde.shell import command


def chosen(model: Path) -> Path:
    """The model; in the folder of a whole `mulde run` the recommended one, which is announced."""
    from mulde.kge.storage.recommended import recommended

    found = recommended(model)
    if found is None:
        return model
    announce(
        f"{model} holds several models; {found} is used, the recommended one; `{command('show', model)}` lists all"
    )
    return found
