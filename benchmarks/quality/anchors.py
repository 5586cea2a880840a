"""Why FedNTD keeps a part of its gain with an anchor that knows nothing.

    python -m benchmarks.quality.anchors                  (some minutes)

The study of `mulde ablate fedntd` with every anchor: the received network, an untrained one, and equal probabilities.
Writes ``results/anchors/``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import records
from mulde.engine import process
from mulde.vision.methods import fedntd
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session

VARIANTS: dict[str, dict[str, Any]] = {
    "none (FedAvg)": {"beta": 0.0},
    "received": {},
    "untrained": {"anchor": "untrained"},
    "uniform": {"anchor": "uniform"},
}
COLUMNS = {
    "accuracy": "accuracy of the server", "in_local": "recall of a client's classes",
    "out_local": "recall of other classes", "moved": "distance moved in a round",
}  # fmt: skip


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14], help="(default: 10 to 14)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "anchors", help="(default: results/anchors)")
    options = parser.parse_args()
    process.start()
    about = {"method": "fedntd", "command": "python -m benchmarks.quality.anchors", **records.environment()}
    found = []
    for seed in options.seeds:
        split = fedntd.STUDY.split(seed)
        for variant, changes in VARIANTS.items():
            trained = run_method(fedntd, replace(fedntd.STUDY.config, **changes), split, Session(seed))
            found.append(
                {"run": f"{variant}-{seed}", "anchor": variant, "seed": seed, "metrics": trained.figures, **about}
            )
    records.write(options.out, found)
    records.write_table(options.out, f"FedNTD on digits, means of {len(options.seeds)} seeds", table_of(found))


def table_of(found: list[records.Record]) -> list[dict[str, Any]]:
    """A row for each anchor."""
    return [
        {
            "anchor": variant,
            **{
                title: records.mean([it["metrics"].get(name) for it in found if it["anchor"] == variant])
                for name, title in COLUMNS.items()
            },
        }
        for variant in VARIANTS
    ]


if __name__ == "__main__":
    main()
