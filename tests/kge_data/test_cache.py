from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import kge_data
from kge_data import cache, loading


@pytest.fixture
def large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A graph that is worth caching."""
    monkeypatch.setattr(cache, "MIN_BYTES", 0)
    (folder / "entity2text.txt").write_text("anna\tAnna\\Seghers\n")
    return folder


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the graphs whose text was parsed."""
    names: list[str] = []
    original = loading.open_folder
    monkeypatch.setattr(
        loading, "open_folder", lambda folder, name, how: names.append(name) or original(folder, name, how)
    )
    return names


def _stored() -> list[Path]:
    return sorted(cache.directory().iterdir())


def test_the_second_load_does_not_parse_and_gives_the_same(large: Path, parsed: list[str]) -> None:
    first, second = kge_data.load(large), kge_data.load(large)
    assert parsed == ["people"]
    for split in ("train", "valid", "test"):
        assert np.array_equal(getattr(first, split), getattr(second, split))
        assert getattr(second, split).dtype == np.int64
    assert (second.entities, second.relations) == (first.entities, first.relations)
    assert second.entity_text == first.entity_text == {0: "Anna\\Seghers"}
    assert second.relation_text == {}
    assert second.checksum == first.checksum == kge_data.from_triples(*_labels(second)).checksum
    assert [path.suffix for path in _stored()] == [".npz"]


def _labels(graph: kge_data.TripleSet) -> list[list[tuple[str, str, str]]]:
    return [
        [(graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in part.tolist()]
        for part in (graph.train, graph.valid, graph.test)
    ]


def test_a_changed_file_is_parsed_again_and_replaces_the_old(large: Path, parsed: list[str]) -> None:
    kge_data.load(large)
    with (large / "train.txt").open("a") as file:
        file.write("dora\tknows\tanna\n")
    assert kge_data.load(large).num_entities == 4
    (large / "entity2text.txt").unlink()
    assert kge_data.load(large).entity_text == {}
    assert parsed == ["people"] * 3
    assert len(_stored()) == 1


def test_the_time_of_a_file_counts(large: Path, parsed: list[str]) -> None:
    kge_data.load(large)
    os.utime(large / "test.txt", ns=(0, 0))
    kge_data.load(large)
    assert len(parsed) == 2


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[: len(content) // 2], lambda content: b"x" * 99]
)
def test_a_damaged_cache_is_replaced(large: Path, parsed: list[str], damage: object) -> None:
    assert callable(damage)
    first = kge_data.load(large)
    path = _stored()[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(
        UserWarning, match=rf"^{path}: the cached graph is damaged \(.+\); it is read from its files again"
    ):
        assert kge_data.load(large).checksum == first.checksum
    kge_data.load(large)
    assert len(parsed) == 2


def test_a_flipped_byte_in_the_arrays_is_noticed(large: Path, parsed: list[str]) -> None:
    first = kge_data.load(large)
    path = _stored()[0]
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="the cached graph is damaged"):
        assert kge_data.load(large).train.tolist() == first.train.tolist()
    assert len(parsed) == 2


def test_any_damage_is_told_in_one_line(large: Path) -> None:
    first = kge_data.load(large)
    path = _stored()[0]
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(20):
        content = bytearray(whole)
        for place in draw.integers(len(whole), size=3).tolist():
            content[place] = int(draw.integers(256))
        path.write_bytes(content)
        with warnings.catch_warnings(record=True, action="always") as notes:
            assert kge_data.load(large).checksum == first.checksum
        assert len(notes) <= 1
        assert not any("\n" in str(note.message) for note in notes)


def test_where_nothing_can_be_written_nothing_is(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = large / "file"
    blocked.write_text("")
    monkeypatch.setenv("KGE_DATA_CACHE", str(blocked / "cache"))
    assert kge_data.load(large).num_entities == 3


def test_an_interrupted_write_leaves_nothing(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(cache.np, "savez", full)
    assert kge_data.load(large).num_entities == 3
    assert _stored() == []


def test_seeds_have_caches_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MIN_BYTES", 0)
    file = tmp_path / "graph.tsv"
    file.write_text("".join(f"e{h}\tr\te{t}\n" for h in range(12) for t in range(12)))
    tests = [kge_data.load(file, seed=seed).test.tolist() for seed in (0, 1, 0, 1)]
    assert tests[0] == tests[2] != tests[1] == tests[3]
    assert len(_stored()) == 2


def test_folders_of_one_name_do_not_share_a_cache(
    large: Path, parsed: list[str], write_graph: Callable[..., Path]
) -> None:
    other = write_graph(large.parent / "elsewhere" / "people", train="dora\tknows\temil\n")
    for folder in (large, other, large, other):
        kge_data.load(folder)
    assert len(parsed) == 2
    assert kge_data.load(other).num_entities == 5


def test_small_graphs_are_not_cached(folder: Path) -> None:
    kge_data.load(folder)
    assert _stored() == []


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KGE_DATA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.directory() == Path("/somewhere/kge_data")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.directory() == Path.home() / ".cache" / "kge_data"


def test_the_least_recently_used_graphs_are_removed(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parsed: list[str]
) -> None:
    copies = [large, *(tmp_path / name for name in ("second", "third"))]
    for copy in copies[1:]:
        copy.mkdir()
        for path in large.glob("*.txt"):
            (copy / path.name).write_bytes(path.read_bytes())
    for age, copy in zip((20, 30), copies[:2], strict=True):
        kge_data.load(copy)
        newest = max(_stored(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, ns=(0, newest.stat().st_mtime_ns - age * 10**9))
    kge_data.load(copies[1])  # used again, so the first one is the oldest now
    size = max(path.stat().st_size for path in _stored())
    monkeypatch.setenv("KGE_DATA_CACHE_GB", str(2.5 * size / 1e9))
    kge_data.load(copies[2])
    assert len(_stored()) == 2
    parsed.clear()
    for copy in reversed(copies):
        kge_data.load(copy)
    assert parsed == ["people"]


def test_a_limit_that_is_no_number(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGE_DATA_CACHE_GB", "2GB")
    with pytest.raises(kge_data.DataError, match=r"number of gigabytes, for example 2; got '2GB'"):
        kge_data.load(large)
