"""The template of the HTML reports, filled with values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kge_data.printing import printable
from mulde.engine.provenance import environment
from mulde.errors import MissingExtra
from mulde.report.tables import cell, has_numbers, without_folders

TEMPLATE = Path(__file__).with_name("template.html")
EMPTY: dict[str, Any] = {
    "verdicts": (), "cards": (), "intro": (), "missing": (), "models": (), "distilled": (), "listings": (),
    "galleries": (), "figures": (), "settings": (), "checksum": None,
}  # fmt: skip
"""Parts of a page that may be left out."""


def render(**values: Any) -> str:
    """The page as HTML.

    Parameters
    ----------
    values
        ``title``, ``models`` (rows), ``models_note``, ``protocol``, and the parts in `EMPTY`. Settings are shown
        without the folders of paths.

    Raises
    ------
    MissingExtra
        If Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise MissingExtra("a report needs Jinja2, which is not installed; `pip install mulde[report]`") from error
    templates = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    templates.filters["cell"] = cell
    templates.tests["number_column"] = has_numbers
    values["settings"] = [(name, without_folders(each)) for name, each in values.get("settings", ())]
    template = templates.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return printable(template.render(**{**EMPTY, "environment": environment(), **values}))
