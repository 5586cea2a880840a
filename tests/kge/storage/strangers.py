"""Bundles of strangers for tests: changed and signed again, written, and opened."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mulde.errors import UsageError
from mulde.files import from_json
from mulde.kge.evaluation.calibration import open_calibration
from mulde.kge.inference.query import predict
from mulde.kge.storage import bundle
from mulde.kge.storage.run_folder import describe, graph_of, open_model
from mulde.storage import container

Files = dict[str, bytes]
DEEP = b"[" * 100_000 + b"]" * 100_000
GB3 = 3 << 30
ROOT = Path(__file__).resolve().parents[3]


def signed(files: Files, change: Callable[[dict[str, Any]], object] = lambda _: None, *, sizes: bool = True) -> Files:
    """The files with a manifest of right checksums, in which something was changed first."""
    manifest = json.loads(files["bundle.json"])
    if sizes:
        manifest["files"] = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
            if name != "bundle.json"
        }
    change(manifest)
    del manifest["checksum"]
    manifest["checksum"] = container.checksum_of(manifest)
    return {**files, "bundle.json": json.dumps(manifest).encode()}


def written(place: Path, files: Files, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A bundle with these files, in a zip if the path ends in .zip."""
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w", method) as file:
            for name, content in files.items():
                file.writestr(name, content)
        return place
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


def use(place: Path) -> None:
    """Everything that commands read of a bundle."""
    bundle.read(place).file(bundle.CARD).decode()
    graph = graph_of(place)
    model = open_model(place, graph)
    found = open_calibration(place, describe(place)["weights"], graph.num_relations)
    assert predict(model, graph, head=graph.entities[0], relation=graph.relations[0], calibration=found)


def refused(place: Path, *words: str) -> str:
    """The sentence with which a bundle is refused."""
    with pytest.raises(UsageError) as caught:
        use(place)
    sentence = str(caught.value)
    assert "\n" not in sentence and place.name in sentence
    for word in words:
        assert word in sentence
    return sentence


def changed(files: Files, name: str, change: Callable[[dict[str, Any]], object]) -> Files:
    """The files with a change in one of JSON."""
    content = from_json(files[name])  # without the checksum of the file itself
    change(content)
    return {**files, name: json.dumps(content).encode()}


def sized(**sizes: int) -> Callable[[dict[str, Any]], object]:
    """A change of the sizes of a model, in its description or in the manifest."""

    def change(content: dict[str, Any]) -> None:
        found = content if "num_entities" in content else content["model"]
        for name, value in sizes.items():
            (found["model"] if name == "dim" else found)[name] = value

    return change
