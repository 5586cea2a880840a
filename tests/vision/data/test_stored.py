"""Sets that are read from their files when a batch needs them: the same pixels, batches and figures as in memory."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from mulde.errors import UsageError
from mulde.vision.data import ImageSet, gathering, load, stored
from mulde.vision.data.splitting import split, with_label_noise, without_class
from mulde.vision.data.stored import StoredPictures
from mulde.vision.pictures import workers
from mulde.vision.training.feeds import ImageFeed, pass_over
from tests.vision.pictures import encoded, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (90, 6, 5, 3), dtype=np.uint8)
    names = [f"{'abc'[i % 3]}/{i}.png" for i in range(90)]
    return write(tmp_path_factory.mktemp("set"), {n: encoded(p) for n, p in zip(names, pictures, strict=True)})


def read(folder: Path, patch: pytest.MonkeyPatch, options: str = "") -> ImageSet:
    patch.setattr(gathering, "IN_MEMORY", 0)
    found = load(f"folder:{folder}{options}")
    assert isinstance(found.images, StoredPictures)
    return found


@pytest.mark.parametrize("options", ["", ",grey=1", ",size=4", ",cache=0"])
def test_the_same_as_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    whole = load(f"folder:{folder}{options}")
    assert isinstance(whole.images, torch.Tensor)
    ours = read(folder, monkeypatch, options)
    assert ours.images.shape == whole.images.shape and ours.images.dtype == torch.uint8
    a, b = (split(each, 3).standardised() for each in (ours, whole))
    for rows in (
        torch.tensor([5, 2, 5]),
        torch.arange(len(a.train)) % 2 == 0,
        slice(3, 9),
        torch.tensor([], dtype=torch.int64),
    ):
        assert torch.equal(a.train.pixels(rows), b.train.pixels(rows))
    assert torch.equal(a.test.pixels(), b.test.pixels())
    assert torch.equal(
        without_class(with_label_noise(a.train, 0.2, 1), 0).pixels(),
        without_class(with_label_noise(b.train, 0.2, 1), 0).pixels(),
    )
    assert ours.checksum() == read(folder, monkeypatch, options).checksum() != a.train.checksum() != a.test.checksum()
    for one, two in zip(pass_over(a.valid, 4), pass_over(b.valid, 4), strict=True):
        assert torch.equal(one.images, two.images)


def test_batches_do_not_depend_on_workers_or_interruptions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CHUNK", 16)
    monkeypatch.setattr(stored, "CHUNK", 4)
    alone, helped = (read(folder, monkeypatch, f",workers={count},cache=0") for count in (0, 1))
    assert alone.checksum() == helped.checksum()
    feeds = [
        ImageFeed(split(each, 0).train, 8, seed=1, augment=lambda x: x + torch.rand(1)) for each in (alone, helped)
    ]
    whole = [batch.images for batch in feeds[0]]
    first = next(iter(feeds[1])).images
    again = ImageFeed(feeds[1].images, 8, seed=1, augment=feeds[1].augment)
    again.load_state_dict(feeds[1].state_dict())
    rest = [batch.images for batch in again]
    assert len(rest) == len(whole) - 1
    assert all(torch.equal(one, two) for one, two in zip([first, *rest], whole, strict=True))
    assert helped.images._reader.kept == {}  # type: ignore[union-attr]
    pool = helped.images._reader.workers  # type: ignore[union-attr]
    for process in pool._pool._processes.values():
        process.kill()
    helped.prefetch(slice(20))  # by workers that have ended: this process reads
    assert torch.equal(helped.pixels(slice(20)), alone.pixels(slice(20))) and pool.count == 0
    copy = pickle.loads(pickle.dumps(alone))
    assert torch.equal(copy.pixels(slice(4)), alone.pixels(slice(4)))


def test_workers_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the command line; a script without a guard would run again in every worker."""
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert workers.default_workers(10) == 0
    for spec, file, count in ((None, "/home/me/train.py", 0), (None, "/usr/bin/mulde", 4), ("mulde.__main__", "x", 4)):
        main = types.SimpleNamespace(__spec__=spec, __file__=file)
        monkeypatch.setitem(sys.modules, "__main__", main)  # type: ignore[arg-type]
        assert workers.default_workers(10_000) == count


def test_the_cache_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(folder, monkeypatch)
    reader = found.images._reader  # type: ignore[union-attr]
    reader.cache = 10 * 90  # ten pictures of 6 x 5 x 3
    found.pixels(slice(0, 50))
    found.pixels(slice(0, 90))
    assert len(reader.kept) == 10 and reader.bytes == 900
    (folder / "gone").mkdir(exist_ok=True)
    kept = {reader.files[row].name for row in reader.kept}
    name = next(file.name for file in reader.files if file.name not in kept)
    content = (folder / name).read_bytes()
    try:
        (folder / name).unlink()
        with pytest.raises(UsageError, match=f"{name} cannot be read as a picture: No such file"):
            found.pixels()
    finally:
        (folder / name).write_bytes(content)
