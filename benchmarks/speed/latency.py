"""How long one query takes, all entities scored: torch, ONNX Runtime and 8-bit entities, on one thread.

    python benchmarks/latency.py                (alone on the machine; two models of the box; a minute)

What `mulde export --to onnx --latency` measures, put on record. Writes ``results/speed/latency.json`` and
``latency.md``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.report.tables import table

MODELS = ("wn18rr-32", "fb15k-237-32")
OUT = Path("results/speed")


def main() -> None:
    rows = []
    for name in MODELS:
        with tempfile.TemporaryDirectory() as place:
            command = ["mulde", "export", name, "--to", "onnx", "--latency", "--json", "--out", f"{place}/exported"]
            done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, check=True)
        rows += [{"model": name, **row} for row in json.loads(done.stdout)["latency"]]
    OUT.mkdir(parents=True, exist_ok=True)
    write_atomically(OUT / "latency.json", (json.dumps({"rows": rows, **environment()}, indent=1) + "\n").encode())
    title = "One query at a time, scores of all entities; one thread"
    write_atomically(OUT / "latency.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}")


if __name__ == "__main__":
    main()
