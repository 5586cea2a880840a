"""Effects of the image methods, from the records of their studies.

`table` and `sentence` fill the pages of the documentation, see `benchmarks.harness.pages`. Studies on real pictures are
in ``results/pictures``, those on small data (digits and generated pictures) in ``results/vision``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import records
from benchmarks.quality import vision
from mulde import catalogue
from mulde.report import tables

REAL, SMALL = "real", "small data"
NO_RECORD = "no record yet"
Effect = dict[str, Any]
"""A study: its name, the kind of its pictures, and the columns of `vision.line`."""


def table() -> str:
    """All studies as a Markdown table, by field; a method without a record on real pictures has a row that says so."""
    rows = []
    for name, field in catalogue.fields_of_methods().items():
        if name in catalogue.studies():
            rows += [{"field": field, "method": _link(name), **_cells(effect)} for effect in shown(name)]
    return tables.table(rows, markdown=True)


def shown(method: str) -> list[Effect]:
    """The studies of a method, those on real pictures first; a row without figures where there is none of them."""
    found = effects().get(method, [])
    if not any(effect["pictures"] == REAL for effect in found):
        return [{"pictures": REAL, "verdict": NO_RECORD}, *found]
    return found


def sentence(method: str) -> str:
    """The effect of a method in a few words, by its studies on real pictures or, without such, on small data."""
    found = [effect for effect in shown(method) if effect["verdict"] != NO_RECORD]
    real = [effect for effect in found if effect["pictures"] == REAL]
    if not found:
        return NO_RECORD
    return "; ".join(map(_words, real)) if real else f"{'; '.join(map(_words, found))}; real pictures: {NO_RECORD}"


@cache
def effects() -> dict[str, list[Effect]]:
    """Method -> its studies."""
    found: dict[str, list[Effect]] = {}
    for kind, study, own in _studies():
        effect = {"study": study, "pictures": kind, **vision.line(own), "cost": _cost(own)}
        found.setdefault(own[0]["method"], []).append(effect)
    return found


def _studies() -> Iterator[tuple[str, str, list[records.Record]]]:
    """Kind of the pictures, name and records of every study."""
    real = records.read(records.RESULTS / "pictures")
    for study in sorted({record["study"] for record in real}):
        yield REAL, study, [record for record in real if record["study"] == study]
    for path in sorted((records.RESULTS / "vision").glob(f"*/{records.FILE}")):
        yield SMALL, path.parent.name, records.read(path.parent)


def _cost(own: list[records.Record]) -> float | None:
    """Forward passes of the method relative to the baseline; None in records without them."""
    passes = {
        variant: [it["metrics"].get("forwards") for it in own if it["variant"] == variant]
        for variant in ("baseline", "method")
    }
    if not all(map(all, passes.values())):
        return None
    return float(np.mean(passes["method"]) / np.mean(passes["baseline"]))


def _cells(effect: Effect) -> Effect:
    """The columns of the table."""
    cost = effect.get("cost")
    before, after = ("metric", "data", "pictures"), ("baseline", "with the method", "seeds")
    return {
        "verdict": effect["verdict"],
        "difference [95 % interval]": effect.get("over baseline"),
        **{column: effect.get(column) for column in (*before, *after)},
        "cost": None if cost is None else f"{cost:.1f}",
        "study": effect.get("study"),
    }


def _words(effect: Effect) -> str:
    return (
        f"{effect['verdict']}: {effect['metric']} {effect['over baseline']} on {effect['data']} (`{effect['study']}`)"
    )


def _link(method: str) -> str:
    """A link to the page with the options of a method."""
    pages = (page for page in sorted(Path("docs/methods").glob("*.md")) if f".{method} -->" in page.read_text("utf-8"))
    page = next(pages, None)
    return method if page is None else f"[{method}](methods/{page.name})"
