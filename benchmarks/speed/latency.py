"""Latency of one query with all entities scored: torch, ONNX Runtime and int8 entities, on one thread.

    python -m benchmarks.speed.latency                (on an idle machine; two pretrained models; a minute)

Records what `mulde export --to onnx --latency` measures. Writes ``results/speed/latency/``.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile

from benchmarks.harness import records

MODELS = ("wn18rr-32", "fb15k-237-32")
OUT = records.RESULTS / "speed/latency"


def main() -> None:
    found = []
    for name in MODELS:
        with tempfile.TemporaryDirectory() as place:
            command = ["mulde", "export", name, "--to", "onnx", "--latency", "--json", "--out", f"{place}/exported"]
            done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, check=True)
        about = {"command": shlex.join(command[:-2]), **records.environment()}
        found += [{"model": name, **row, **about} for row in json.loads(done.stdout)["latency"]]
    records.write(OUT, found)
    rows = [{key: it[key] for key in ("model", "engine", "p50 ms", "p95 ms")} for it in found]
    records.write_table(OUT, "One query at a time, scores of all entities; one thread", rows)


if __name__ == "__main__":
    main()
