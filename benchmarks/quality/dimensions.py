"""Quality and bytes by the Junior's dimension: one seed each.

    KGE_DATA_HOME=... python benchmarks/dimensions.py          (after taught.py, whose teacher's answers it uses)

On WN18RR RotH is trained alone by the recommended settings: by .002, which was the default once, by the default of now,
and some by .005; the record is the best one on validation (column ``lr``). On FB15k-237 AffineH is taught as in
``taught.py``, whose record of seed 0 is the one with 32 dimensions. Every model is trained by one `mulde` command; what
has a record is not trained again, an interrupted training is continued. Test figures are on the full split, filtered,
both directions, realistic; selection is on the validation split. ``vectors``: by vectors alone; ``MRR``: what the model
answers, with loops and the closed world (docs/measured.md). Writes the records, ``results/dimensions/table.json`` and
``table.md``.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import recorded
from taught import ARMS

TAUGHT = ARMS["Junior taught (offline)"].format(junior="affineh").replace("--dim 32 ", "")
MODELS = {
    "wn18rr": "train roth --preset recommended --batch-size 500 --epochs 60 --compile on",
    "fb15k-237": f"{TAUGHT} --teacher {{taught}}/teacher --teacher-cache {{taught}}/answers",
}
DIMENSIONS = (8, 16, 32, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="graph (repeats; default: wn18rr and fb15k-237)")
    parser.add_argument("--dim", action="append", type=int, help="dimension (repeats; default: 8, 16, 32 and 64)")
    parser.add_argument("--threads", default="1", help="threads of every run (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where models are kept (default: runs)")
    parser.add_argument("--out", type=Path, default=Path("results/dimensions"), help="(default: results/dimensions)")
    options = parser.parse_args()
    for data in options.data or MODELS:
        line = MODELS[data].format(taught=options.runs / "taught/fb15k-237-affineh")
        for dim in options.dim or DIMENSIONS:
            place = f"{data}-{dim}"
            words = [*shlex.split(line), "--data", data, "--dim", str(dim), "--threads", options.threads]
            recorded.run(words, options.runs / "dimensions" / place, options.out / place)
            write(options.out)


def write(out: Path) -> None:
    """Everything on record, as a table."""
    rows = []
    for data in MODELS:
        for dim, place in sorted((int(place.name.rpartition("-")[2]), place) for place in out.glob(f"{data}-[0-9]*")):
            if (place / "summary.json").exists():
                model = recorded.read(place)[0]["rows"][0]["model"]
                lr = json.loads((place / "fit/config.json").read_text(encoding="utf-8"))["config"]["lr"]
                rows.append({"data": data, "model": model, "dim": dim, "lr": f"{lr:.2g}", **recorded.quality(place)})
    recorded.write(out, "Test MRR by dimension (full split, filtered, both directions, realistic); one seed", rows)


if __name__ == "__main__":
    main()
