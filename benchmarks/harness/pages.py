"""Fill README.md and the pages under docs/ from ``results/`` and from the code, between marks.

    python -m benchmarks.harness.pages             (or: make results)

A mark is an HTML comment, so that the pages read well wherever Markdown is shown:

    <!-- results/small_graphs/table.md --> ... <!-- end -->      a table
    <!-- options mulde.kge.methods.mulde --> ... <!-- end -->    the fields of that module's `Config`
    <!-- gallery results/vision --> ... <!-- end -->             the pictures of the studies in that folder
    <!-- effects --> ... <!-- end -->                            the table of `benchmarks.quality.effects`
    <!-- effect NAME --> ... <!-- end -->                        the effect of an image method, in a few words
    <!-- number NAME --> ... <!-- end -->                        a number of `benchmarks.quality.overview`
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import records
from benchmarks.quality import effects, overview
from mulde import catalogue
from mulde.config import default_of, options_of, texts_of

PAGES = (Path("README.md"), *sorted(Path("docs").rglob("*.md")))
BLOCK = re.compile(
    r"^<!-- (?:(results/\S+)|options (\S+)|gallery (\S+)|effects) -->\n.*?^<!-- end -->$", re.DOTALL | re.MULTILINE
)
SHARED = ("model", "training")  # parts of the options of every method
INLINE = re.compile(r"(<!-- (number|effect) (\S+) -->).*?(<!-- end -->)")


def filled(text: str) -> str:
    """The text of a page with tables and numbers as they are in ``results/`` and in the code."""
    return BLOCK.sub(_block, INLINE.sub(_inline, text))


def _inline(found: re.Match[str]) -> str:
    before, kind, name, after = found.groups()
    return f"{before}{overview.numbers()[name] if kind == 'number' else effects.sentence(name)}{after}"


def _block(found: re.Match[str]) -> str:
    file, module, studies = found.groups()
    if file:
        content = Path(file).read_text(encoding="utf-8").strip()
    else:
        content = config_table(module) if module else gallery(Path(studies)) if studies else effects.table()
    return f"{found[0].partition(chr(10))[0]}\n\n{content}\n\n<!-- end -->"


def gallery(folder: Path) -> str:
    """A section for each ablation study: what was compared, the result, and the picture."""
    parts = []
    for picture in sorted(folder.glob("*/plot.png")):
        first = records.read(picture.parent)[0]
        method = first["method"]
        claim, _, about = catalogue.summary(catalogue.path_of("methods", method)).partition(": ")
        data, metric = first["data"].removeprefix("data "), first["metric"].replace("_", " ")
        parts += [
            f"## {claim}" if picture.parent.name == method else f"## {claim}, {data.partition(',')[0]}",
            f"{about[:1].upper()}{about[1:]}. Data: {data}.",
            f"**{metric}**: {first['verdict']}.",
            f"![{claim}: {metric} by variant, a line for each seed](../{picture.as_posix()})",
            f"`{first.get('command_now', first['command'])}`",
        ]
    return "\n\n".join(parts)


def config_table(name: str) -> str:
    """The fields of the `Config` of a module as a Markdown table."""
    config = importlib.import_module(name).Config
    hints = typing.get_type_hints(config)
    shared = {name: (hints[name].__doc__ or "").partition("\n")[0] for name in SHARED if name in hints}
    texts = {option.name: option.about for option in options_of(config)} | texts_of(config) | shared
    rows = [f"| `{name}` | {_default(value)} | {cell(texts.get(name))} |" for name, value in _own_fields(config)]
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *rows])


def cell(text: str | None) -> str:
    """Text for a cell of a Markdown table."""
    return " ".join((text or "").replace("|", "\\|").replace("<", "&lt;").split())


def _own_fields(config: type[Any]) -> Iterator[tuple[str, Any]]:
    """The fields of a method's `Config` with their defaults.

    A part is expanded, unless all methods share it, or another part has its type or contains one of its type.
    """
    hints = typing.get_type_hints(config)
    types = [hints[field.name] for field in dataclasses.fields(config)]
    types += [part for name in SHARED if name in hints for part in typing.get_type_hints(hints[name]).values()]
    for field in dataclasses.fields(config):
        part, value = hints[field.name], default_of(field)
        if dataclasses.is_dataclass(part) and field.name not in SHARED and types.count(part) == 1:
            yield from ((inner.name, getattr(value, inner.name)) for inner in dataclasses.fields(part))
        else:
            yield field.name, value


def _default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "required"
    if dataclasses.is_dataclass(value):
        return cell(f"`{changed}`") if (changed := ", ".join(_changed(value))) else "its defaults"
    return f"`{cell(str(value))}`" if value not in ("", None, ()) else "–"


def _changed(value: Any) -> Iterator[str]:
    """The fields of a part that differ from their defaults, those of its parts among them."""
    for field in dataclasses.fields(value):
        own, default = getattr(value, field.name), default_of(field)
        if dataclasses.is_dataclass(own):
            yield from _changed(own)
        elif own != default:
            yield f"{field.name}={own!r}"


def main() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page} updated", file=sys.stderr)


if __name__ == "__main__":
    main()
