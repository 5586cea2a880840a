"""Put the tables of ``results/`` into README.md: what stands between the marks is what the commands wrote.

    python benchmarks/readme.py            (or: make results)

A mark is a comment that names a file, ``<!-- results/small_graphs.md -->``, closed by ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"(<!-- (results/\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")

    def filled(match: re.Match[str]) -> str:
        content = (ROOT / match[2]).read_text(encoding="utf-8").strip()
        return f"{match[1]}{content}\n{match[3]}"

    new = MARK.sub(filled, text)
    readme.write_text(new, encoding="utf-8")
    print("README.md is up to date" if new == text else "README.md updated", file=sys.stderr)


if __name__ == "__main__":
    main()
