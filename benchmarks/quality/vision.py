"""Ablation studies of the image methods, recorded and put into one table.

    python -m benchmarks.quality.vision dcm --first-seed 2       `mulde ablate dcm --first-seed 2`, recorded
    python -m benchmarks.quality.vision cbd --name cbd_fashion --images FOLDER --data npz:fashion.npz,size=14
    python -m benchmarks.quality.vision                          only write the table of all records

Other options are those of `mulde ablate`. Writes ``results/vision/NAME/`` (table, picture and a record for each seed
and variant) and ``results/vision/table.md``. Paths after --data are relative to --images, and so they are recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import records
from mulde.files import write_atomically
from mulde.vision.ablation.statistics import half_interval

OPTIONS = ("--threads", "1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", nargs="?", help="method to run (default: none)")
    parser.add_argument("--name", help="folder of the record (default: the method)")
    parser.add_argument("--images", type=Path, default=Path(), help="folder in which paths after --data begin")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablations"), help="(default: runs/ablations)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "vision", help="(default: results/vision)")
    options, words = parser.parse_known_args()
    if options.method:
        name = options.name or options.method
        ablate(options.method, words, options.runs.resolve() / name, options.images)
        record(options.runs / name, options.out / name, command_of(options.method, words))
    write_table(options.out)


def write_table(folder: Path) -> None:
    """The table of all studies that are recorded in a folder."""
    places = sorted(path.parent for path in folder.glob(f"*/{records.FILE}"))
    rows = [{"study": place.name, **line(records.read(place))} for place in places]
    records.write_table(folder, "Test metric by variant, paired seeds", rows)


def command_of(method: str, words: Sequence[str]) -> str:
    """The command of a study, without the folder it writes to."""
    return shlex.join(["mulde", "ablate", method, *words, *OPTIONS])


def ablate(method: str, words: Sequence[str], folder: Path, images: Path) -> None:
    """Run a study with the folder of the images as working folder."""
    command = [*shlex.split(command_of(method, words)), "--out", str(folder)]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path().resolve()), os.environ.get("PYTHONPATH", "")])}
    if code := subprocess.run([sys.executable, "-m", *command], cwd=images, env=found).returncode:
        sys.exit(code)


def record(study: Path, folder: Path, command: str) -> None:
    """Records, table and picture of a study that `mulde ablate` has written."""
    result = json.loads((study / "results.json").read_text(encoding="utf-8"))
    text = (study / records.TABLE).read_text(encoding="utf-8").replace(result["command"], command)
    records.write(folder, of_study({**result, "command": command}))
    write_atomically(folder / records.TABLE, text.encode())
    write_atomically(folder / "plot.png", (study / "plot.png").read_bytes())


def of_study(result: dict[str, Any]) -> list[records.Record]:
    """A record for each seed and variant of a study."""
    ran = dict(result["environment"])
    about = {
        "method": result["method"], "command": result["command"], "data": result["data"], "notes": result["notes"],
        "metric": metric_of(result), "verdict": result["verdict"], "hardware": ran.pop("processor"), **ran,
    }  # fmt: skip
    return [
        {
            "run": f"{row['variant']}-{row['seed']}", "variant": row["variant"], "seed": row["seed"], **about,
            "settings": result["configurations"][row["variant"]],
            "metrics": {name: value for name, value in row.items() if name not in ("seed", "variant")},
        }
        for row in result["runs"]
    ]  # fmt: skip


def metric_of(result: dict[str, Any]) -> str:
    """The metric that a study compares: the one column of its summary that is no statistic."""
    statistics = {"variant", "seeds", "sd", "difference", "from", "to", "wins", "cost"}
    return next(column for column in result["summary"][0] if column not in statistics)


def line(found: list[records.Record]) -> dict[str, Any]:
    """A study in one row: means, and paired differences of the method with 95 % intervals."""
    first, values = found[0], _values(found)
    others = {f"over {name}": _over(differences(found, name)) for name in values if name != "method"}
    return {
        "data": _source(first["data"]), "metric": first["metric"].replace("_", " "),
        "baseline": _mean(values["baseline"]), "with the method": _mean(values["method"]),
        "seeds": len(values["method"]), "verdict": _verdict(differences(found)), **others,
    }  # fmt: skip


def differences(found: Sequence[records.Record], other: str = "baseline") -> list[float]:
    """Paired differences of the metric between the method and another variant, one for each seed."""
    values = _values(found)
    return [value - values[other][seed] for seed, value in values["method"].items() if seed in values[other]]


def interval(paired: Sequence[float]) -> tuple[float, float]:
    """Mean of paired differences, and half of its 95 % confidence interval."""
    return float(np.mean(paired)), half_interval(np.array(paired))


def _values(found: Sequence[records.Record]) -> dict[str, dict[int, float]]:
    """The metric of a study by variant and seed."""
    values: dict[str, dict[int, float]] = {}
    for it in found:
        values.setdefault(it["variant"], {})[it["seed"]] = it["metrics"][it["metric"]]
    return values


def _source(described: str) -> str:
    """Name of the images: of generated ones the kind, of a file its name."""
    kind, _, rest = described.removeprefix("data ").partition(":")
    path = rest.partition(":")[0].partition(",")[0]
    return kind if path.isdecimal() or " " in path else Path(path).stem


def _mean(values: dict[int, float]) -> str:
    """Mean and standard deviation, which a single seed does not have."""
    mean, deviation = np.mean(list(values.values())), records.deviation(list(values.values()))
    return f"{mean:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")


def _over(paired: Sequence[float]) -> str:
    """Mean paired difference with its interval."""
    middle, margin = interval(paired)
    return f"{middle:+.3f} [{middle - margin:+.3f}, {middle + margin:+.3f}]"


def _verdict(paired: Sequence[float]) -> str:
    """Where the interval of the difference from the baseline lies."""
    middle, margin = interval(paired)
    return "no difference shown" if abs(middle) <= margin else "above" if middle > 0 else "below"


if __name__ == "__main__":
    main()
