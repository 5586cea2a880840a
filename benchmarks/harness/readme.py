"""Fill README.md from ``results/``: tables between marks, and single numbers.

    python -m benchmarks.harness.readme            (or: make results)

``<!-- results/small_graphs/table.md -->`` ... ``<!-- end -->`` holds a table; ``<!-- number NAME -->`` ... ``<!-- end
-->`` within a line holds a number of :mod:`benchmarks.quality.overview`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.quality import overview

README = Path("README.md")
TABLE = re.compile(r"(<!-- (results/\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
NUMBER = re.compile(r"(<!-- number (\S+) -->).*?(<!-- end -->)")


def filled(text: str) -> str:
    """The text with tables and numbers as they are in ``results/``."""
    numbers = overview.numbers()
    text = NUMBER.sub(lambda match: f"{match[1]}{numbers[match[2]]}{match[3]}", text)
    return TABLE.sub(lambda match: f"{match[1]}{Path(match[2]).read_text(encoding='utf-8').strip()}\n{match[3]}", text)


def main() -> None:
    text = README.read_text(encoding="utf-8")
    new = filled(text)
    README.write_text(new, encoding="utf-8")
    print("README.md is up to date" if new == text else "README.md updated", file=sys.stderr)


if __name__ == "__main__":
    main()
