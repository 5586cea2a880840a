"""Killed and resumed trainings against an uninterrupted one, bit by bit.

    python -m benchmarks.speed.kill_and_resume --kills 30

Trains two teachers on UMLS and distils them once without interruption. Then distils them ``--kills`` times anew: each
run is killed (SIGKILL) at a random moment and started again by the same command; a run that ends before its moment does
not count. Compared are the Junior's weights, all weights of the method, and the log without its times. ``--compile on``
uses the compiled scoring, as on large graphs. Writes ``results/speed/kill_and_resume/``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import records

COMPARED = ("model.safetensors", "fit/final.safetensors", "log")
SETTINGS = ["--data", "umls", "--threads", "1", "--eval-every", "2", "--checkpoint-every", "0.3", "--seed", "3"]


def command(verb: str, *options: str) -> list[str]:
    """A `mulde` command."""
    return [sys.executable, "-m", "mulde", verb, *options, *SETTINGS]


def ending(run: Path) -> dict[str, str]:
    """Checksums of the weights of a run and of its log without times."""
    lines = [json.loads(line) for line in (run / "fit/log.jsonl").read_text().splitlines()]
    log = json.dumps([{key: value for key, value in line.items() if key != "seconds"} for line in lines])
    files = {name: (run / name).read_bytes() for name in ("model.safetensors", "fit/final.safetensors")}
    return {name: hashlib.sha256(content).hexdigest() for name, content in {**files, "log": log.encode()}.items()}


def write_table(folder: Path, whole: float) -> None:
    """How many killed runs ended with the bytes of the uninterrupted one."""
    found = records.read(folder)
    row = {
        "kills": len(found), "killed with a checkpoint": sum(bool(it["checkpoints"]) for it in found),
        "equal to the uninterrupted run": sum(all(it[name] for name in COMPARED) for it in found),
        "uninterrupted run, s": round(whole, 2),
    }  # fmt: skip
    records.write_table(folder, "A distillation on UMLS, killed at random moments and resumed", [row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="runs that are killed (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "speed/kill_and_resume", help="folder of the result"
    )
    parser.add_argument("--compile", choices=("off", "on"), default="off", help="fuse the scoring (default: off)")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        teachers = []
        for scorer in ("roth", "refh"):
            subprocess.run(
                command("train", scorer, "--dim", "16", "--epochs", "6", "--out", str(place / scorer)),
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            teachers += ["--teacher", str(place / scorer)]
        options = ["--dim", "8", "--top-k", "50", "--epochs", "12", "--compile", arguments.compile]
        distil = ["distil", *teachers, *options, "--out"]
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(place / "compiled")  # shared by all processes

        def run(folder: Path, seconds: float | None = None) -> float:
            """Run to the end, or kill after some seconds; returns the duration in seconds."""
            started = time.monotonic()
            process = subprocess.Popen(
                command(*distil, str(folder)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                code = process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            else:
                if code:
                    sys.exit(f"{' '.join(command(*distil, str(folder)))} ended with {code}")
            return time.monotonic() - started

        whole = run(place / "uninterrupted")
        expected = ending(place / "uninterrupted")
        rows: list[dict[str, object]] = []
        while len(rows) < arguments.kills:
            folder, moment = place / f"killed-{len(rows)}", moments.uniform(0, whole)
            run(folder, moment)
            if (folder / "model.json").exists():  # it ended before its moment
                shutil.rmtree(folder)
                continue
            saved = len(list((folder / "fit").glob("checkpoint*")))
            log = folder / "fit/log.jsonl"
            steps = [json.loads(line)["step"] for line in log.read_text().splitlines()[-1:]] if log.exists() else []
            run(folder)
            equal = {name: value == expected[name] for name, value in ending(folder).items()}
            rows.append({"killed after s": round(moment, 2), "last logged step": steps, "checkpoints": saved, **equal})
            print(json.dumps(rows[-1]), flush=True)
    same = sum(all(row[name] for name in expected) for row in rows)
    about = {"command": " ".join(["python", "-m", "benchmarks.speed.kill_and_resume", *sys.argv[1:]])}
    records.write(arguments.out, [{**row, **about, **records.environment()} for row in rows])
    write_table(arguments.out, whole)
    print(f"{same} of {len(rows)} equal to the uninterrupted run")
    sys.exit(same != len(rows))


if __name__ == "__main__":
    main()
