"""Write an HTML report of one or several runs as a self-contained file.

Examples:
    mulde report runs/umls
    mulde report runs/umls runs/umls-other --out compared.html
    mulde report runs/wn18rr/roth-64 runs/wn18rr/roth-32 --data wn18rr
    mulde report umls-8.zip

A student of an image method has other options: `mulde report RUN --help` shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mulde.cli._output import announce, refuse_page, show
from mulde.config import Whole
from mulde.config.command_line import Positional, parse
from mulde.files import write_atomically

FIRST = ("run", "out", "data", "types", "facts", "queries", "overwrite", "json")


@dataclass(frozen=True)
class Config:
    """What to report."""

    run: Positional[tuple[Path, ...]]
    """Run folder of `mulde run` or of a single model, bundle, or name of a pretrained model; several are compared on
    one page."""
    out: Path = Path("report.html")
    """The HTML file."""
    data: str | None = None
    """The graph; by default the one the models were trained on."""
    types: Path | None = None
    """File of lines `entity TAB type`, for the colours of the entities in the Poincaré disk; by default they show the
    number of triples."""
    facts: Whole = 20
    """Number of likeliest missing facts, as `mulde discover` finds them; 0 for none."""
    queries: Whole = 200
    """Number of test queries for the latency; 0 for no measurement."""
    overwrite: bool = False
    """Replace an existing file."""
    json: bool = False
    """Print path and size as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde report", __doc__ or "", first=FIRST)
    refuse_page(settings.out, settings.overwrite)
    from mulde.engine import process
    from mulde.report.latency import measure
    from mulde.report.page import page
    from mulde.report.runs import open_runs

    process.start()
    runs, graph = open_runs(settings.run, settings.data)
    if graph is not None:
        parts = ["latency"] * bool(settings.queries) + ["missing facts"] * bool(settings.facts) + ["worst failures"]
        announce(f"computing {', '.join(parts)} on {graph.name}, with {graph.num_entities:,} entities")
    if settings.queries and graph is not None:
        measure(runs, graph, settings.queries)
    content = page(runs, graph, settings.types, settings.facts).encode()
    write_atomically(settings.out, content, new=not settings.overwrite)
    result = {"page": str(settings.out), "bytes": len(content), "models": sum(len(run.stages) for run in runs)}
    return show(result, f"{settings.out}: {len(content) / 1000:,.0f} kB, {result['models']} models", settings.json)
