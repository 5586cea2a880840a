"""The table of effects and the effects in sentences are those of the records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness import pages, records
from benchmarks.quality import effects
from mulde import catalogue

ROOT = Path(__file__).resolve().parents[2]


def study(method: str, gain: float, **names: str) -> list[records.Record]:
    """Records of two seeds; the method has twice as many forward passes."""
    return [
        {
            "run": f"{variant}-{seed}", "variant": variant, "seed": seed, "method": method, "metric": "top_1",
            "data": "data digits: all", "metrics": {"top_1": 0.5 + 0.1 * seed + own, "forwards": passes}, **names,
        }
        for variant, own, passes in (("baseline", 0.0, 50), ("method", gain, 100))
        for seed in (0, 1)
    ]  # fmt: skip


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Three studies: KD on real pictures and on small data, LAD on small data."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    records.write(tmp_path / "pictures", study("kd", 0.25, study="kd_real"))
    records.write(tmp_path / "vision/kd", study("kd", -0.25))
    records.write(tmp_path / "vision/lad", study("lad", 0.0))
    effects.effects.cache_clear()
    yield tmp_path
    effects.effects.cache_clear()


def test_the_table_has_every_method(results: Path) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in effects.table().splitlines()[2:]]
    named = {row[1].partition("]")[0].removeprefix("[") for row in rows}
    assert named == {*catalogue.studies()}
    of_kd = [row for row in rows if row[1] == "[kd](methods/kd.md)"]
    assert [(row[2], row[3], row[6], row[-2], row[-1]) for row in of_kd] == [
        ("above", "+0.250 [+0.250, +0.250]", "real", "2.0", "kd_real"),
        ("below", "-0.250 [-0.250, -0.250]", "small data", "2.0", "kd"),
    ]
    assert [row[2] for row in rows if row[1] == "[lad](methods/lad.md)"] == ["no record yet", "no difference shown"]
    assert [row[1] for row in rows if row[2] == "no record yet" and "colad" in row[1]] == ["[colad](methods/lad.md)"]


def test_effects_in_words(results: Path) -> None:
    assert effects.sentence("kd") == "above: top 1 +0.250 [+0.250, +0.250] on digits (`kd_real`)"
    none = "no difference shown: top 1 +0.000 [+0.000, +0.000] on digits (`lad`); real pictures: no record yet"
    assert effects.sentence("lad") == none and effects.sentence("dcm") == "no record yet"


def test_a_new_record_changes_the_page(results: Path) -> None:
    text = "DCM: <!-- effect dcm -->old<!-- end -->.\n\n<!-- effects -->\nold\n<!-- end -->\n"
    assert pages.filled(text).startswith(
        "DCM: <!-- effect dcm -->no record yet<!-- end -->.\n\n<!-- effects -->\n\n| field"
    )
    records.append(results / "pictures", *study("dcm", 0.125, study="dcm_real"))
    effects.effects.cache_clear()
    new = pages.filled(text)
    assert "<!-- effect dcm -->above: top 1 +0.125 [" in new and "| dcm_real " in new and pages.filled(new) == new
