"""Write an HTML report of students as a self-contained file: curves, worst errors as pictures, sizes, latency.

Examples:
    mulde report runs/small
    mulde report runs/small runs/baseline --out compared.html
    mulde report small.zip --data folder:photos

The errors are those of the first student on the test part of its training data, or on the images of --data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mulde.cli._output import refuse_page, show
from mulde.cli.images._student import opened
from mulde.config.command_line import Positional, parse
from mulde.files import write_atomically

FIRST = ("run", "out", "data", "latency", "network", "overwrite", "json")


@dataclass(frozen=True)
class Config:
    """What to report."""

    run: Positional[tuple[Path, ...]]
    """Run folder or bundle of an image method; several are compared on one page."""
    out: Path = Path("report.html")
    """The HTML file."""
    data: str | None = None
    """Labelled images for the errors; by default those of the training."""
    latency: bool = True
    """Measure the latency of single pictures."""
    network: str | None = None
    """The network of the first run, if it is one of your own: file.py:function or module:function."""
    overwrite: bool = False
    """Replace an existing file."""
    json: bool = False
    """Print path and size as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde report", __doc__ or "", first=FIRST)
    refuse_page(settings.out, settings.overwrite)
    with opened(settings.run[0], settings.network, "cpu", 1) as (student, _, _):
        from mulde.report.images.page import page
        from mulde.report.images.runs import open_image_runs

        runs = open_image_runs(settings.run)
        content = page(runs, settings.data, student, settings.latency).encode()
    write_atomically(settings.out, content, new=not settings.overwrite)
    result = {"page": str(settings.out), "bytes": len(content), "runs": len(runs)}
    return show(result, f"{settings.out}: {len(content) / 1000:,.0f} kB", settings.json)
