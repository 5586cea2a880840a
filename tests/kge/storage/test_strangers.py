"""Bundles and run folders of strangers, whose checksums are right and whose contents are not: a model, or one sentence.

Sizes are only declared here: no file of a test is large.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from mulde import schema
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.affineh import AffineH
from mulde.kge.storage.run_folder import model_files
from mulde.schema import contents
from mulde.storage import container
from tests.kge import toys
from tests.kge.storage.strangers import DEEP, ROOT, Files, changed, refused, signed, sized, use, written


@pytest.mark.parametrize("form", ["toy.zip", "toy"])
@pytest.mark.parametrize("name", ["dim", "num_entities", "num_relations"])
@pytest.mark.parametrize("size", [10**8, 2**31, 2**40, 2**63, 10**400, 0, -1])
def test_sizes_that_the_weights_do_not_have(form: str, name: str, size: int, good: Files, tmp_path: Path) -> None:
    both = changed(good, "model.json", sized(**{name: size}))
    refused(written(tmp_path / form, signed(both, sized(**{name: size}))), "expected", "found")
    alone = written(tmp_path / f"one-{form}", signed(both))
    refused(alone, "expected", "found")


def test_the_good_one_is_good(good: Files, tmp_path: Path) -> None:
    for form in ("toy.zip", "toy"):
        use(written(tmp_path / form, signed(good)))
    with zipfile.ZipFile(tmp_path / "large.zip", "w") as file:  # zip64
        for name, content in good.items():
            with file.open(name, "w", force_zip64=True) as stream:
                stream.write(content)
    use(tmp_path / "large.zip")


def weights(tables: dict[str, torch.Tensor], good: Files) -> Files:
    """A bundle with other weights, everywhere with their checksum."""
    content = save(tables)
    digest = hashlib.sha256(content).hexdigest()
    files = changed(good, "model.json", lambda description: description.update(weights=digest))
    files = changed(files, "calibration.json", lambda found: found.update(model=digest))
    return signed(files | {"model.safetensors": content})


def test_tables_that_are_not_those_of_the_scorer(good: Files, tmp_path: Path) -> None:
    tables = load(good["model.safetensors"])
    use(written(tmp_path / "toy", weights(tables, good)))
    entity = tables["entity"]
    odd: dict[str, dict[str, torch.Tensor]] = {
        "without": {name: table for name, table in tables.items() if name != "head_bias"},
        "more": tables | {"another": entity.clone()},
        "integers": tables | {"entity": entity.to(torch.int8)},
        "truth": tables | {"self_loops": tables["self_loops"].float()},
        "scale": tables | {"entity:scale": torch.ones(3)},
        "prior": tables | {"graph_prior.weights": torch.ones(2)},
        "bfloat": tables | {"head_bias": tables["head_bias"].bfloat16()},
        "bias": tables | {"head_bias": torch.zeros(3)},
    }
    for name, each in odd.items():
        refused(written(tmp_path / name, weights(each, good)), "expected" if name != "without" else "without head_bias")


def test_headers_that_lie(good: Files, tmp_path: Path) -> None:
    content = good["model.safetensors"]
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])

    def of(change: Callable[[dict[str, Any]], object], length: int | None = None) -> bytes:
        found = copy.deepcopy(header)
        change(found)
        text = json.dumps(found).encode()
        start = (len(text) if length is None else length).to_bytes(8, "little")
        return start + text + content[8 + int.from_bytes(content[:8], "little") :]

    lies = [
        of(lambda _: None, 2**63),
        of(lambda _: None, 0),
        of(lambda found: found["entity"].update(shape=[10**9, 10**9])),
        of(lambda found: found["entity"].update(shape=[2**63 - 1] * 1000)),
        of(lambda found: found["entity"].update(shape=[-25, -4])),
        of(lambda found: found["entity"].update(dtype="Q9")),
        of(lambda found: found["entity"].update(dtype=["F32"])),
        of(lambda found: found["entity"].update(data_offsets=[0, 2**40])),
        of(lambda found: found["entity"].update(data_offsets=found["head_bias"]["data_offsets"])),
        of(lambda found: found.update(entity=[])),
        content[:-4],
        content + b"    ",
        content[:8] + DEEP[:1000],
    ]
    for number, lie in enumerate(lies):
        digest = hashlib.sha256(lie).hexdigest()
        files = changed(good, "model.json", lambda found, digest=digest: found.update(weights=digest))
        refused(written(tmp_path / f"{number}", signed(files | {"model.safetensors": lie})), "model.safetensors")


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def test_triples_that_are_not_triples(good: Files, tmp_path: Path) -> None:
    with np.load(io.BytesIO(good["known.npz"])) as stored:
        arrays = dict(stored)
    heads = arrays["train.heads"]
    wrong: list[dict[str, Any]] = [
        {"train.counts": arrays["train.counts"] * 10**8},
        {"train.counts": -arrays["train.counts"]},
        {"train.counts": arrays["train.counts"].astype(float)},
        {"train.counts": np.zeros(10**6, np.int32)},
        {"train.heads": heads[:-1]},
        {"train.heads": heads.astype(np.int64)},
        {"train.heads": np.zeros((len(heads), 2), np.int32)},
        {"train.heads": heads + 10**9},
        {"train.heads": np.zeros(4_000_000, np.int32)},
        {"checksum": np.zeros(71, np.uint8)},
        {"checksum": np.zeros(10**6, np.uint8)},
    ]
    for number, change in enumerate(wrong):
        refused(written(tmp_path / f"{number}", signed(good | {"known.npz": npz(**arrays | change)})), "known.npz")
    arrays["train.heads"] = np.array(["x"] * len(heads), dtype=object)
    refused(written(tmp_path / "pickled", signed(good | {"known.npz": npz(**arrays)})), "known.npz")


VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**40, 10**400, 0.5, float("nan"), "", "text", "x" * 200_000, "../x", "\ud800", [], [None],
    {},
)  # fmt: skip
DELETED = object()


def places_in(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys of all values in a JSON file, of lists the first."""
    if place:
        yield place
    below = (
        content.items() if isinstance(content, dict) else enumerate(content[:1]) if isinstance(content, list) else ()
    )
    for key, value in below:
        yield from places_in(value, (*place, key))


def mutants(content: Any) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """(place, value, content): each value deleted, or replaced by each of `VALUES`."""
    for place in places_in(content):
        for value in (*VALUES, DELETED):
            mutant = copy.deepcopy(content)
            inner = mutant
            for key in place[:-1]:
                inner = inner[key]
            if value is DELETED:
                del inner[place[-1]]
            else:
                inner[place[-1]] = value
            yield place, value, mutant


KINDS = {
    "bundle.json": contents.MANIFEST, "model.json": contents.DESCRIPTION, "calibration.json": contents.CALIBRATION
}  # fmt: skip
ALIKE = {("metrics", "valid"), ("embeddings_only",), ("metrics_before",), ("versions",), ("checksum",)}  # as others are


@pytest.mark.parametrize("name", KINDS)
def test_every_value_of_every_key_gives_a_model_or_a_sentence(name: str, good: Files, tmp_path: Path) -> None:
    place, used = written(tmp_path / "toy", signed(good)), 0
    for key, value, mutant in mutants(json.loads(good[name])):
        if {key[:1], key[:2]} & ALIKE:
            continue
        try:  # the schema alone refuses most
            schema.check(mutant, name, KINDS[name])
        except UsageError:
            continue
        used += 1
        if name == "bundle.json":
            mutant["checksum"] = container.checksum_of({key: mutant[key] for key in mutant if key != "checksum"})
            files = {name: json.dumps(mutant).encode()}
        else:
            files = signed(good | {name: json.dumps(mutant).encode()})
        for each in {name, "bundle.json"}:
            (place / each).write_bytes(files[each])
        try:
            use(place)
        except UsageError as error:
            assert place.name in str(error), (key, value)
    assert used > 10


PEAK = """
import sys
from pathlib import Path
from mulde.errors import UsageError
from mulde.kge.storage.run_folder import open_model

def peak():
    status = Path("/proc/self/status").read_text()  # ru_maxrss includes that of the process that started this one
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

open_model("umls-8")
before = peak()
for place in sys.argv[1:-1]:
    try:
        open_model(place)
        sys.exit(place)
    except UsageError:
        pass
print(peak() - before)
open_model(sys.argv[-1])
print(peak() - before)
assert "torch._dynamo" not in sys.modules  # a second of imports
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_opening(good: Files, tmp_path: Path) -> None:
    """At most 1.2 times the tensors and 64 MB: for a model of 59 MB, and for some that are refused."""
    graph, dim = toys.toy_graph(), 1_500
    model = KGEModel(AffineH, graph.num_entities, graph.num_relations, ModelConfig(dim=dim), seed=None)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    count = sum(parameter.numel() for parameter in model.parameters())
    size = 4 * count
    files = {name: content for name, content in good.items() if name != "calibration.json"}
    files |= model_files(model, graph, "toy", "float16")

    def affine(manifest: dict[str, Any]) -> None:
        sized(dim=dim, parameters=count)(manifest)
        manifest["model"]["scorer"] = "affineh"

    large = written(tmp_path / "large.zip", signed(files, affine), zipfile.ZIP_STORED)
    bad = [written(tmp_path / f"{name}.zip", signed(good, sized(**{name: 10**8}))) for name in ("dim", "num_relations")]
    run = [sys.executable, "-c", PEAK, *map(str, bad), str(large)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refusing, opening = map(int, done.stdout.split())
    assert refusing < 64e6
    assert 0.5 * size < opening < 1.2 * size + 64e6
