"""Which teachers, how many, and is a Senior needed? A small Junior by each choice, over seeds.

    python -m benchmarks.quality.which_teachers --data umls --data kinships --seeds 5

For every seed the teachers are trained first. Then each Junior has the same initial weights, order, corruptions and
epochs. Every choice, the baseline included, is trained with two learning rates, the default one and 2.5 times that; the
better one by validation MRR counts. Differences from the baseline are paired by seed, with a 95 % t-interval.
`mean` is the method `average` (no Senior), `MulDE` has the Senior (relation scaling and contrast attention). Writes
``results/which_teachers/``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import kge_data
from benchmarks.harness import records
from kge_data.tripleset import TripleSet
from mulde.config import from_dict
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.methods import average, mulde
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.training import stage, supervised
from mulde.kge.training.optimizers import learning_rate

GRAPHS: dict[str, dict[str, Any]] = {
    "umls": {"dim": 8, "epochs": 40},
    "kinships": {"dim": 8, "epochs": 40},
    "codex-s": {"dim": 16, "epochs": 30},
}
FACTORS = (1.0, 2.5)
BILINEAR = {
    "dim": 256, "loss": "1vsall", "n3": 0.05, "optimizer": "adagrad", "lr": 0.1, "batch_size": 256, "bias": "none",
    "epochs": 40, "schedule": "constant",
}  # fmt: skip
TEACHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "HyperbolicTransE": ("hyperbolic_transe", {"dim": 64}),
    "DistH": ("disth", {"dim": 64}),
    "RotH": ("roth", {"dim": 64}),
    "RefH": ("refh", {"dim": 64}),
    "RotH 128": ("roth", {"dim": 128}),
    "ComplEx": ("complex", BILINEAR),
    "MuRE": ("mure", {"dim": 64}),
}
PAPER = ("HyperbolicTransE", "DistH", "RotH", "RefH")
WAYS = [
    (("RotH",), "mean"), (("RotH", "RefH"), "mean"), (("RotH", "RefH"), "MulDE"), (("ComplEx",), "mean"),
    (("RotH", "ComplEx"), "mean"), (("RotH", "ComplEx"), "MulDE"), (("RotH", "ComplEx", "MuRE"), "mean"),
    (("RotH", "ComplEx", "MuRE"), "MulDE"), (("RotH 128",), "mean"), (PAPER, "MulDE"),
]  # fmt: skip


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", choices=GRAPHS, help="graph, repeatable (default: umls, kinships)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--runs", type=Path, default=Path("runs/which_teachers"), help="(default: runs/which_teachers)")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "which_teachers", help="(default: results/which_teachers)"
    )
    options = parser.parse_args()
    process.start()
    for data in options.data or ["umls", "kinships"]:
        graph = kge_data.load(data)
        for seed in range(options.seeds):
            study = Study(data, graph, seed, options.runs / data / f"seed-{seed}", options.out)
            study.teachers()
            study.record("baseline", (), "none")
            for names, way in WAYS:
                study.record("the paper's four" if names == PAPER else " + ".join(names), names, way)
            write_table(options.out)


class Study:
    """The models of one graph and seed."""

    def __init__(self, data: str, graph: TripleSet, seed: int, runs: Path, out: Path):
        self.data, self.graph, self.seed, self.runs, self.out = data, graph, seed, runs, out
        self.known = known_answers(graph)

    def teachers(self) -> None:
        """Train the teachers and record them."""
        for name in TEACHERS:
            if not self._is_recorded(name, "teacher"):
                model, seconds = self._teacher(name)
                self._append(name, "teacher", model, seconds, {})

    def record(self, name: str, teachers: tuple[str, ...], way: str) -> None:
        """Train a Junior with each learning rate and record the better one."""
        if self._is_recorded(name, way):
            return
        trials = [self._junior(teachers, way, factor) for factor in FACTORS]
        best = max(range(len(trials)), key=lambda it: trials[it].record.best_metrics["valid/mrr"])
        about = {"lr_factor": FACTORS[best], "valid": [it.record.best_metrics["valid/mrr"] for it in trials]}
        self._append(name, way, trials[best].model, sum(it.record.seconds for it in trials), about)

    def _junior(self, teachers: tuple[str, ...], way: str, factor: float) -> stage.Outcome:
        options = {**GRAPHS[self.data], "seed": self.seed}
        plain = from_dict(supervised.Config, options)
        options["lr"] = factor * learning_rate(plain.training, len(self.graph.train))
        if not teachers:
            config = from_dict(supervised.Config, options)
            return stage.train("roth", self.graph, config, None, known=self.known, bar=False)
        kind = mulde if way == "MulDE" else average
        config = from_dict(kind.Config, {**options, "include_target": True})
        models = [self._teacher(name)[0] for name in teachers]
        method = kind.__name__.rpartition(".")[2]
        return stage.distil("roth", models, self.graph, config, None, method=method, known=self.known, bar=False)

    def _teacher(self, name: str) -> tuple[Any, float]:
        scorer, changes = TEACHERS[name]
        options = {**GRAPHS[self.data], "seed": self.seed, **changes}
        place = self.runs / name.replace(" ", "-")
        if scorer == "mure":
            return mure(self.graph, options, place)
        config = from_dict(supervised.Config, options)
        found = stage.train(scorer, self.graph, config, place, source=self.data, known=self.known, bar=False)
        return found.model, found.record.seconds

    def _is_recorded(self, name: str, way: str) -> bool:
        key = self.data, name, way, self.seed
        return any((it["data"]["name"], it["teachers"], it["way"], it["seed"]) == key for it in records.read(self.out))

    def _append(self, name: str, way: str, model: Any, seconds: float, about: dict[str, Any]) -> None:
        ranker = model if way != "teacher" or hasattr(model, "blocks") else Ensemble([model])
        plain = evaluate(ranker, self.graph, "test", self.known, embeddings_only=True).metrics()
        metrics = {"embeddings_only": plain}
        if way != "teacher":
            metrics["with_prior"] = evaluate(model, self.graph, "test", self.known).metrics()
        command = " ".join(["python", "-m", "benchmarks.quality.which_teachers", *sys.argv[1:]])
        records.append(
            self.out,
            {
                "run": f"{self.data}-{way}-{name}-{self.seed}".replace(" ", "-"), "teachers": name, "way": way,
                "seed": self.seed, "command": command,
                "data": {"name": self.data, "checksum": self.graph.checksum}, "settings": GRAPHS[self.data], **about,
                "metrics": metrics, "seconds": seconds, **records.environment(),
            },
        )  # fmt: skip


def mure(graph: TripleSet, options: dict[str, Any], place: Path) -> tuple[Any, float]:
    """PyKEEN's MuRE, trained by PyKEEN and kept in a folder of its own."""
    import time

    from pykeen.pipeline import pipeline

    from mulde.pykeen import open_teacher
    from mulde.pykeen.graphs import factories

    folder = place / "pykeen"
    if not (folder / "trained_model.pkl").is_file():
        begun = time.monotonic()
        train, valid, test = factories(graph)
        found = pipeline(
            training=train, validation=valid, testing=test, random_seed=options["seed"], device="cpu",
            model="MuRE", model_kwargs={"embedding_dim": options["dim"]}, training_loop="lcwa", loss="crossentropy",
            optimizer_kwargs={"lr": 2e-3}, evaluation_kwargs={"use_tqdm": False},
            training_kwargs={"num_epochs": 100, "batch_size": 256, "use_tqdm": False},
        )  # fmt: skip
        found.save_to_directory(folder)
        (place / "seconds").write_text(f"{time.monotonic() - begun:.1f}")
    return open_teacher(folder, graph, allow_pickle=True), float((place / "seconds").read_text())


def write_table(folder: Path) -> None:
    """Means over the recorded seeds, and paired differences from the baseline."""
    found, rows = records.read(folder), []
    for data in dict.fromkeys(it["data"]["name"] for it in found):
        own: dict[tuple[str, str], dict[int, records.Record]] = {}
        for it in found:
            if it["data"]["name"] == data:
                own.setdefault((it["teachers"], it["way"]), {})[it["seed"]] = it
        plain = own["baseline", "none"]
        for (name, way), seeds in own.items():
            mrr = [it["metrics"]["embeddings_only"]["mrr"] for it in seeds.values()]
            row: records.Record = {"data": data, "teachers": name, "way": way, "MRR": records.mean(mrr)}
            row |= {"gain": None, "95 % interval": None, "seeds better": None, "gain with prior": None}
            if way in ("mean", "MulDE"):
                row |= gain(seeds, plain)
            rows.append({**row, "seeds": len(seeds)})
    title = "Which teachers, how many, which Senior: test MRR (full split, filtered, both directions, realistic), "
    title += "embeddings only, mean of seeds; Junior RotH (UMLS and Kinships 8-d, CoDEx-S 16-d); gain over the baseline"
    records.write_table(folder, title, rows)


def gain(seeds: dict[int, records.Record], plain: dict[int, records.Record]) -> records.Record:
    """Paired differences from the baseline: mean, t-interval, and number of seeds with a gain."""
    both = [
        [seeds[seed]["metrics"][kind]["mrr"] - plain[seed]["metrics"][kind]["mrr"] for seed in seeds]
        for kind in ("embeddings_only", "with_prior")
    ]
    differences = np.array(both[0])
    row: records.Record = {"gain": differences.mean()}
    if len(differences) > 1:
        half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
        row["95 % interval"] = f"{differences.mean() - half:+.4f} to {differences.mean() + half:+.4f}"
    row["seeds better"] = f"{int((differences > 0).sum())} of {len(differences)}"
    return row | {"gain with prior": float(np.mean(both[1]))}


if __name__ == "__main__":
    main()
