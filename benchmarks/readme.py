"""Put the tables of ``results/`` into README.md: what stands between the marks is what the commands wrote.

    python benchmarks/readme.py            (or: make results)

A mark is a comment that names a file, ``<!-- results/small_graphs.md -->``, closed by ``<!-- end -->``. Before, the
calibrations of the vision methods are summed up in ``results/vision/summary.md``, a line for each.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from mulde.files import write_atomically
from mulde.report import table

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"(<!-- (results/\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def vision_line(folder: Path) -> dict[str, Any]:
    """A method's calibration in a line: its metric in each arm, and the paired difference to the baseline."""
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    arms = {line["arm"]: line for line in record["summary"]}
    metric = next(name for name in arms["baseline"] if name not in ("arm", "seeds", "sd"))
    method = arms["method"]
    values = {arm: line[metric] for arm, line in arms.items()}
    gain = {"gain": method["difference"], "95 % from": method["from"], "to": method["to"], "wins": method["wins"]}
    return {"": record["method"], "metric": metric, **values, **gain}


def write_vision_summary(place: Path) -> None:
    """All calibrations that there are, with the data behind them in their own folders."""
    lines = [vision_line(file.parent) for file in sorted(place.glob("*/results.json"))]
    if lines:
        write_atomically(place / "summary.md", (table(lines, markdown=True) + "\n").encode())


def main() -> None:
    write_vision_summary(ROOT / "results" / "vision")
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
