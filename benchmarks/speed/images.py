"""KD on images against a plain torch loop: pictures per second and peak memory, alternately.

    python -m benchmarks.speed.images --rounds 5

Both train ResNet-8 from a frozen ResNet-20 on random pictures of 32 x 32, mirrored at random, in batches of 64, with
SGD: ours by `mulde.vision.distil`, the other by the shortest loop that does the same. Each measurement is a process of
its own on one thread, and its processor time counts. Writes ``results/speed/images/``.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import records

BATCH, EPOCHS, TEMPERATURE = 64, 2, 4.0


def pictures(count: int) -> Any:
    """Random pictures (count, 3, 32, 32) uint8, and labels of ten classes."""
    import torch

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.arange(count) % 10


def ours(count: int, epochs: int) -> None:
    """The method by `mulde.vision.distil`, without evaluation."""
    import mulde.vision
    from mulde.vision.data.images import ImageSet, Split
    from mulde.vision.models import network

    values, labels = pictures(count)
    images = ImageSet(values, labels, tuple("0123456789"))
    nothing = images[images.labels < 0]
    split = Split(images, nothing, nothing, 0).standardised()
    mulde.vision.distil(
        "kd", train=split, student=network("resnet8", 10), teacher=network("resnet20", 10), epochs=epochs,
        batch_size=BATCH, augment="flip", schedule="constant", device="cpu", temperature=TEMPERATURE,
    )  # fmt: skip


def plain(count: int, epochs: int) -> None:
    """The same in plain torch."""
    import torch
    from torch.nn import functional

    from mulde.vision.models import network

    images, labels = pictures(count)
    mean = images.float().div(255).mean((0, 2, 3), keepdim=True)
    deviation = images.float().div(255).std((0, 2, 3), keepdim=True)
    student, teacher = network("resnet8", 10).train(), network("resnet20", 10).eval()
    optimizer = torch.optim.SGD(student.parameters(), 0.05, 0.9, weight_decay=5e-4, fused=True)
    for _ in range(epochs):
        for rows in torch.randperm(count).split(BATCH):
            batch = (images[rows].float() / 255 - mean) / deviation
            batch = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, batch.flip(3), batch)
            own = student(batch).logits
            with torch.no_grad():
                target = teacher(batch).logits
            soft = functional.kl_div(
                (own / TEMPERATURE).log_softmax(1), (target / TEMPERATURE).softmax(1), reduction="batchmean"
            )
            loss = 0.1 * functional.cross_entropy(own, labels[rows]) + 0.9 * TEMPERATURE**2 * soft
            if not torch.isfinite(loss):
                raise ArithmeticError("the loss is not finite")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def measured(kind: str, count: int) -> dict[str, float]:
    """Pictures per second of a process after its first epoch, and its peak memory in MB."""
    code = f"from benchmarks.speed import images; images.measure({kind!r}, {count})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(kind: str, count: int) -> None:
    """Print the figures of this process.

    A short training comes first, because imports and the first batch take time once; then that of one epoch is
    subtracted from that of several.
    """
    import torch

    torch.set_num_threads(1)
    work, seconds = {"ours": ours, "plain": plain}[kind], []
    work(2 * BATCH, 1)
    for epochs in (1, 1 + EPOCHS):
        started = time.process_time()
        work(count, epochs)
        seconds.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"rate": EPOCHS * count / (seconds[1] - seconds[0]), "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default: 5)")
    parser.add_argument("--pictures", type=int, default=2048, help="pictures of an epoch (default: 2048)")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "speed/images", help="folder of the result")
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
    for number in range(arguments.rounds):
        for kind in sorted(found, reverse=bool(number % 2)):
            found[kind].append(measured(kind, arguments.pictures))
            print(kind, found[kind][-1], file=sys.stderr, flush=True)
    ratios = [one["rate"] / other["rate"] for one, other in zip(found["ours"], found["plain"], strict=True)]
    rows = [
        {
            "loop": {"ours": "mulde.vision.distil", "plain": "plain torch"}[kind],
            "pictures per second": round(statistics.median(each["rate"] for each in runs)),
            "peak MB": round(statistics.median(each["peak"] for each in runs)),
            "rate to plain": round(statistics.median(ratios), 3) if kind == "ours" else 1.0,
        }
        for kind, runs in found.items()
    ]
    title = f"KD of ResNet-8 from ResNet-20 on one thread, median of {arguments.rounds}"
    records.write_table(arguments.out, title, rows)


if __name__ == "__main__":
    main()
