"""Bundles: exact, complete, checked, of one format, and usable without their data."""

from __future__ import annotations

import errno
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import mulde
from kge_data.published import catalogue
from kge_data.tripleset import TripleSet
from mulde import pretrained
from mulde.errors import UsageError, WriteError
from mulde.kge.evaluation import calibration
from mulde.kge.evaluation.calibration import Calibration, open_calibration, save_calibration
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.evaluation.triple_classification import calibrate
from mulde.kge.export.bundle import Original, Packed, pack
from mulde.kge.inference import probability
from mulde.kge.inference.query import predict
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.refh import RefH
from mulde.kge.storage import bundle
from mulde.kge.storage.quantisation import Stored, rows_to_int8
from mulde.kge.storage.run_folder import describe, graph_of, open_model, save_model
from mulde.storage import container
from tests.kge import toys

CONFIGS = {
    "two": ModelConfig(dim=4, init_scale=0.3),
    "one": ModelConfig(dim=4, init_scale=0.3, bias="shared", dtype="float64"),
    "none": ModelConfig(dim=4, init_scale=0.3, bias="none", curvature="global"),
}
QUERIES = torch.arange(6), torch.arange(6)


@pytest.fixture(scope="module")
def graph() -> TripleSet:
    return toys.toy_graph()


def original(graph: TripleSet, folder: Path, config: ModelConfig = CONFIGS["two"]) -> Original:
    model = KGEModel(RefH, graph.num_entities, graph.num_relations, config, seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(2))
    save_model(folder, model, graph, "somewhere/else.tsv")
    return Original(folder, model.eval(), graph, describe(folder))


@pytest.fixture(scope="module")
def packed(graph: TripleSet, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return pack(original(graph, tmp_path_factory.mktemp("run")), "toy", licence="mine")


@pytest.mark.parametrize("name", ["toy.zip", "toy"])
def test_probabilities_go_with_the_weights_they_were_fitted_to(
    graph: TripleSet, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = pack(original(graph, tmp_path / "few"), "few")
    assert calibration.FILE not in few.files  # as predictions from a run folder have none
    monkeypatch.setattr(probability, "FEWEST", 1)
    run = original(graph, tmp_path / "run")
    weights, count = run.description["weights"], graph.num_relations
    fitted = Calibration((1.0, 2.0), 0.5, (0.0,) * count, (0.1,) * count, weights, "drawn")
    save_calibration(tmp_path / "run", fitted)
    pack(run, "toy").write(tmp_path / name)
    assert open_calibration(tmp_path / name, describe(tmp_path / name)["weights"], count) == fitted
    pack(Original.open(tmp_path / name), "again").write(tmp_path / "again.zip")
    assert open_calibration(tmp_path / "again.zip", weights, count) == fitted
    pack(run, "small", "int8").write(tmp_path / "small.zip")
    small = open_calibration(tmp_path / "small.zip", describe(tmp_path / "small.zip")["weights"], count)
    assert small == calibrate(open_model(tmp_path / "small.zip"), graph, describe(tmp_path / "small.zip")["weights"])
    assert calibration.FILE not in pack(replace(run, graph=replace(graph, valid=graph.valid[:0])), "none", "int8").files


@pytest.mark.parametrize("name", ["toy.zip", "toy"])
def test_the_second_of_two_at_once_is_refused(
    packed: Packed, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is written, another is begun and finished."""
    write = container.write_atomically
    begun: list[Path] = []

    def other_first(path: Path, content: bytes, *, new: bool = False) -> None:
        if not begun:
            begun.append(path)
            packed.write(tmp_path / name)
        write(path, content, new=new)

    monkeypatch.setattr(container, "write_atomically", other_first)
    with pytest.raises(UsageError, match=f"{name}: exists already"):
        packed.write(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {name}
    bundle.read(tmp_path / name)


@pytest.fixture(params=["toy.zip", "toy"])
def place(request: pytest.FixtureRequest, packed: Packed, tmp_path: Path) -> Path:
    packed.write(tmp_path / request.param)
    return tmp_path / request.param


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("form", ["toy.zip", "toy"])
def test_exact_round_trip(config: str, form: str, graph: TripleSet, tmp_path: Path) -> None:
    run = original(graph, tmp_path / "run", CONFIGS[config])
    pack(run, "toy").write(tmp_path / form)
    again = open_model(tmp_path / form, graph)
    assert again.config == run.model.config and not again.training
    assert torch.equal(again.score_all(*QUERIES), run.model.score_all(*QUERIES))
    assert graph_of(tmp_path / form).checksum == graph.checksum


@pytest.mark.parametrize("stored", ["float16", "int8"])
@pytest.mark.parametrize("config", CONFIGS)
def test_what_was_rounded_comes_back_as_it_was_stored(
    stored: Stored, config: str, graph: TripleSet, tmp_path: Path
) -> None:
    run = original(graph, tmp_path / "run", CONFIGS[config])
    first = pack(run, "toy", stored)
    first.write(tmp_path / "toy.zip")
    opened = Original.open(tmp_path / "toy.zip")
    tables = opened.model.state_dict()
    for name, table in run.model.state_dict().items():
        if name == "entity" and stored == "int8":
            whole, scale = rows_to_int8(table)
            assert (whole.abs().amax(1) == 127).all()  # every row uses the whole range
            expected = whole.float() * scale.unsqueeze(1)
            assert (expected - table).abs().max() <= 0.51 * scale.max()
        else:
            expected = table.half()
        assert torch.equal(tables[name], expected.to(table.dtype)), name
    second = pack(opened, "toy", stored)
    assert second.files["model.safetensors"] == first.files["model.safetensors"]
    before, after = (first.manifest[key]["test"]["realistic"] for key in ("metrics_before", "metrics"))
    assert evaluate(run.model, graph, "test").metrics() == before
    for again in (evaluate(opened.model, graph, "test").metrics(), second.manifest["metrics"]["test"]["realistic"]):
        assert again == pytest.approx(after)  # means over triples in another order


def test_equal_models_make_equal_bytes(packed: Packed, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        packed.write(tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_card_and_the_manifest(place: Path, graph: TripleSet) -> None:
    found = bundle.read(place)
    data = found.manifest["data"]
    assert (data["checksum"], data["licence"], data["train"]) == (graph.checksum, "mine", 70)
    assert describe(place)["data"]["source"] == "toy"  # no path of the machine it was made on
    assert "somewhere" not in json.dumps(found.manifest)
    card = found.file(bundle.CARD).decode()
    for policy in ("realistic", "optimistic", "pessimistic"):
        mrr = found.manifest["metrics"]["test"][policy]["mrr"]
        assert f"| test | {policy} | {mrr:.4f} |" in card
    assert "- Licence: mine" in card and graph.checksum in card


@pytest.mark.parametrize("form", ["toy.zip", "toy"])
def test_a_bundle_without_triples(form: str, graph: TripleSet, tmp_path: Path) -> None:
    run = original(graph, tmp_path / "run")
    prior = GraphPrior(torch.ones(2 * graph.num_relations), graph.train)
    save_model(tmp_path / "run", run.model.set_graph_prior(prior), graph, "toy")
    without = Original.open(tmp_path / "run", triples=False)
    pack(without, "toy").write(tmp_path / form)
    found = bundle.read(tmp_path / form)
    assert "known.npz" not in found.names and not found.has_triples and found.manifest["data"]["train"] == 70
    assert found.manifest["condition"] == "masked self-loops" or not found.manifest["graph_prior"]
    card = found.file(bundle.CARD).decode()
    assert "None of them is in this bundle" in card and "mulde evaluate toy.zip --data GRAPH" in card
    assert "graph prior |" not in card and f"--head {graph.entities[0]} --rel" in card
    opened, names = open_model(tmp_path / form), graph_of(tmp_path / form)
    assert opened.graph_prior is None and (names.entities, len(names.train)) == (graph.entities, 0)
    assert torch.equal(opened.score_all(*QUERIES), run.model.score_all(*QUERIES))
    assert predict(opened, names, head=graph.entities[0], relation=graph.relations[0])
    with pytest.raises(UsageError, match=r"was packed without the triples of toy, and packing needs them; give the"):
        Original.open(tmp_path / form)


def test_the_notice_of_the_licence_is_kept(graph: TripleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in catalogue.notice("wn18rr")
    run = original(graph, tmp_path / "run")
    assert bundle.NOTICE not in pack(run, "toy").files
    record = replace(catalogue.record("nations"), checksum=graph.checksum, licence="theirs")
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "record", lambda _: record)
        patch.setattr(catalogue, "notice", lambda name: f"notice of {name}")
        pack(run, "toy").write(tmp_path / "toy.zip")
    found = bundle.read(tmp_path / "toy.zip")
    assert found.file(bundle.NOTICE) == b"notice of nations" and found.manifest["data"]["licence"] == "theirs"
    again = pack(Original.open(tmp_path / "toy.zip"), "again")
    assert again.files[bundle.NOTICE] == b"notice of nations" and again.manifest["data"]["licence"] == "theirs"


def test_a_flipped_byte_is_reported_or_changes_nothing(packed: Packed, tmp_path: Path) -> None:
    path = tmp_path / "toy.zip"
    packed.write(path)
    whole, reported = path.read_bytes(), 0
    expected = bundle.read(path)
    positions = range(0, len(whole), 11)
    for position in positions:
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            assert bundle.read(path) == expected  # a time stamp or the like
        except UsageError as error:
            reported += 1
            assert str(error).startswith(str(path))
    assert reported > 0.8 * len(positions)


@pytest.mark.parametrize("name", ["bundle.json", "model.safetensors", "model.json", "entities.tsv", "known.npz"])
def test_a_flipped_byte_in_a_folder(name: str, packed: Packed, tmp_path: Path) -> None:
    packed.write(tmp_path / "toy")
    content = bytearray((tmp_path / "toy" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "toy" / name).write_bytes(content)
    with pytest.raises(UsageError, match="the bundle is damaged or was changed; copy it again"):
        open_model(tmp_path / "toy")


def test_a_changed_manifest_is_reported(packed: Packed, tmp_path: Path) -> None:
    packed.write(tmp_path / "toy")
    manifest = json.loads((tmp_path / "toy/bundle.json").read_text())
    manifest["metrics"]["test"]["realistic"]["mrr"] = 0.99
    (tmp_path / "toy/bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=r"bundle\.json does not have its own checksum; the bundle is damaged"):
        bundle.read(tmp_path / "toy")


def rewritten(place: Path, **changes: Any) -> None:
    """The same zip with a changed manifest and its checksum."""
    with zipfile.ZipFile(place) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    manifest = {**json.loads(contents[bundle.MANIFEST]), **changes}
    manifest.pop("checksum")
    manifest["checksum"] = container.checksum_of(manifest)
    contents[bundle.MANIFEST] = json.dumps(manifest).encode()
    with zipfile.ZipFile(place, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)


def test_another_format_is_refused(packed: Packed, tmp_path: Path) -> None:
    packed.write(tmp_path / "toy.zip")
    rewritten(tmp_path / "toy.zip", format="mulde bundle 3")
    with pytest.raises(UsageError) as caught:
        open_model(tmp_path / "toy.zip")
    assert str(caught.value) == (
        f"{tmp_path}/toy.zip: expected format 'mulde bundle 2', found 'mulde bundle 3'; it was written by another "
        "version of mulde; open it with that version, or pack the model again"
    )


def test_files_outside_the_bundle_are_not_read(packed: Packed, tmp_path: Path) -> None:
    packed.write(tmp_path / "toy.zip")
    for name in ("../secret", "/etc/secret", "a\\b", "a/b", "", "..", "bundle.json", "a\nb"):
        rewritten(tmp_path / "toy.zip", files={name: {"bytes": 1, "sha256": "0" * 64}})
        with pytest.raises(UsageError, match=r"expected names of files, found "):
            bundle.read(tmp_path / "toy.zip")


def test_files_that_are_no_bundle(packed: Packed, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(UsageError, match=r"expected a bundle in a zip, but File is not a zip file; the bundle is"):
        open_model(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("hello", "hello")
    with pytest.raises(UsageError, match=r"expected bundle\.json in it, found none; copy it again"):
        open_model(tmp_path / "other.zip")
    packed.write(tmp_path / "toy")
    (tmp_path / "toy/known.npz").unlink()
    with pytest.raises(UsageError, match=r"expected known\.npz in it, found none; copy it again"):
        open_model(tmp_path / "toy")


@pytest.mark.parametrize("form", ["toy.zip", "toy"])
def test_a_full_disk_leaves_nothing(form: str, packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def full(_: int) -> None:
        calls.append(1)
        if form == "toy.zip" or len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match="no space left on the device"):
        packed.write(tmp_path / form)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(place: Path, packed: Packed) -> None:
    with pytest.raises(UsageError, match="exists already; choose another name, or remove it"):
        packed.write(place)


def test_pretrained_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: Packed) -> None:
    assert "umls-8" in pretrained.paths()
    assert sum(path.stat().st_size for path in pretrained.paths().values()) < 16e6  # they are in the repository
    model, graph = mulde.load("umls-8"), graph_of("umls-8")
    mrr = bundle.read(bundle.locate("umls-8")).manifest["metrics"]["test"]["realistic"]["mrr"]
    assert evaluate(model, graph, "test").metrics()["mrr"] == pytest.approx(mrr, abs=1e-6)
    assert mrr > 0.7
    monkeypatch.chdir(tmp_path)
    packed.write(Path("umls-8"))  # a folder of ours of the same name
    assert describe("umls-8")["scorer"] == "refh"


def test_other_triples_with_the_same_names_are_not_packed(graph: TripleSet, tmp_path: Path) -> None:
    run = original(graph, tmp_path / "run")
    (tmp_path / "other").mkdir()
    for split, triples in (("train", graph.train), ("valid", graph.test), ("test", graph.valid)):
        lines = [f"{graph.entities[h]}\t{graph.relations[r]}\t{graph.entities[t]}\n" for h, r, t in triples]
        (tmp_path / "other" / f"{split}.txt").write_text("".join(lines))
    with pytest.raises(UsageError, match=r"other does not have the triples that .*run was trained on.*leave out --da"):
        Original.open(run.place, str(tmp_path / "other"))
