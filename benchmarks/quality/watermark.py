"""The watermark of a teacher: false alarms on models without it, and what attacks leave of it.

    python -m benchmarks.quality.watermark

On the digits of scikit-learn, with small networks. False alarms: 200 networks that were trained on labels, each with
initial weights, training pictures and a key of its own; they are tested at p <= 0.01 and p <= 0.05. Attacks: an owner
publishes marked probabilities of a teacher, and students are distilled from them without labels; then they are trained
on, pruned, or distilled again. Writes ``results/watermark/``.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import prune

from benchmarks.harness import records
from mulde.engine import process
from mulde.vision.data.digits import digits
from mulde.vision.data.images import Split
from mulde.vision.data.splitting import split
from mulde.vision.inference.loaded import TorchOutputs
from mulde.vision.inference.watermark import watermark_of
from mulde.vision.methods import kd, supervised
from mulde.vision.storage.student import Student
from mulde.vision.training.evaluation import network_accuracy, predicted_classes
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.run import run_method
from mulde.vision.training.session import Session
from mulde.vision.training.watermark import Watermark

FOLDER = records.RESULTS / "watermark"
COMMAND = "python -m benchmarks.quality.watermark"
UNMARKED, LEVELS = 200, (0.01, 0.05)
ADAM = OptimizerSteps("adam", 3e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unmarked", type=int, default=UNMARKED, help=f"(default: {UNMARKED})")
    parser.add_argument("--out", type=Path, default=FOLDER, help=f"(default: {FOLDER})")
    options = parser.parse_args()
    process.start()
    with process.threads(1), tempfile.TemporaryDirectory() as folder:
        found = [*false_alarms(options.unmarked, Path(folder)), *attacks(Path(folder))]
    records.write(options.out, [{**row, "command": COMMAND, **records.environment()} for row in found])
    rows = [{"model": row["run"], **row["metrics"]} for row in found]
    records.write_table(options.out, "Watermark on the digits: false alarms, and attacks on students", rows)


def false_alarms(count: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Fractions of unmarked networks in which a key of their own is found."""
    values = []
    for number in range(count):
        data = split(digits(), number, train=300).standardised()
        net = on_labels(data, "mlp-32", number, epochs=8)
        values.append(detected(net, data, key_file(folder, f"unmarked {number}"))["p_value"])
    for level in LEVELS:
        rate = sum(value <= level for value in values) / count
        yield {"run": f"{count} unmarked networks, found at p <= {level}", "metrics": {"rate": rate}}


def attacks(folder: Path) -> Iterator[dict[str, Any]]:
    """The owner's key and another key in every model."""
    data, key, other = split(digits(), 0).standardised(), key_file(folder, "owner"), key_file(folder, "another")

    def row(name: str, net: nn.Module) -> dict[str, Any]:
        own, wrong = detected(net, data, key), detected(net, data, other)
        accuracy = network_accuracy(net, data.test)
        return {
            "run": name,
            "metrics": {
                "accuracy": accuracy, "correlation": own["correlation"], "p-value": own["p_value"],
                "p-value of another key": wrong["p_value"],
            },
        }  # fmt: skip

    teacher = on_labels(data, "mlp-64-64", 1)
    yield row("teacher, not marked", teacher)
    for student in ("mlp-32", "mlp-64-64"):
        for temperature in (1.0, 4.0):
            stolen = distilled(data, student, teacher, temperature, key)
            yield row(f"{student} distilled at T = {temperature:g}", stolen)
    yield row("the last, trained on with labels for 20 epochs", on_labels(data, "", 2, 20, stolen))
    for fraction in (0.3, 0.5, 0.7):
        yield row(f"the last student, {fraction:.0%} of the weights pruned", pruned(stolen, fraction))
    yield row("mlp-32 distilled again from it at T = 4", distilled(data, "mlp-32", stolen, 4.0, None))
    classes = predicted_classes(stolen, data.train)
    named = replace(data, train=replace(data.train, labels=classes))
    yield row("mlp-32 trained on its classes alone", on_labels(named, "mlp-32", 3))
    plain = distilled(data, "mlp-32", teacher, 4.0, None)
    yield row("mlp-32 distilled from the teacher without a mark", plain)


def on_labels(data: Split, student: str, seed: int, epochs: int = 30, net: nn.Module | None = None) -> nn.Module:
    """A network trained on labels, from new weights or those of another."""
    config = supervised.Config(student=student or "mlp-32", training=Training(epochs, 64, "none", ADAM))
    given = {} if net is None else {"student": net}
    return run_method(supervised, config, replace(data, seed=seed), Session(seed), given).student


def distilled(data: Split, student: str, teacher: nn.Module, temperature: float, key: Path | None) -> nn.Module:
    """A student of the probabilities alone."""
    training = Training(40, 64, "none", ADAM, watermark=Watermark(watermark=key))
    config = kd.Config(student=student, temperature=temperature, hard_weight=0.0, soft_weight=1.0, training=training)
    return run_method(kd, config, replace(data, seed=5), Session(5), {"teacher": teacher}).student


def pruned(net: nn.Module, fraction: float) -> nn.Module:
    """A copy whose weights of least magnitude are 0."""
    found = copy.deepcopy(net)
    layers = [(layer, "weight") for layer in found.modules() if isinstance(layer, nn.Linear)]
    prune.global_unstructured(layers, prune.L1Unstructured, amount=fraction)
    return found


def detected(net: nn.Module, data: Split, key: Path) -> dict[str, float]:
    """The search for a key with all pictures of a split that the suspect may have been trained on, and the others."""
    mean, deviation = (tuple(part.flatten().tolist()) for part in data.scale or ())
    student = Student(net, "classify", data.train.classes, 1, (8, 8), mean, deviation)
    images = digits()
    return watermark_of(TorchOutputs(student), replace(images, scale=data.scale), key)


def key_file(folder: Path, text: str) -> Path:
    """A file with a key."""
    path = folder / f"{text}.txt"
    path.write_text(text)
    return path


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
