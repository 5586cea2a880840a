"""Spellings of names."""

from __future__ import annotations

import pytest

from kge_data.published import catalogue
from kge_data.spelling import spelled_as


@pytest.mark.parametrize("name", ["FB15k-237", "fb15k237", "FB15K237", "fb15k_237", "Fb15K-237"])
def test_capitals_hyphens_and_underscores_do_not_matter(name: str) -> None:
    assert spelled_as(name, ["umls", "fb15k-237"]) == "fb15k-237"
    assert catalogue.has(name) and catalogue.record(name).name == "fb15k-237"


def test_another_name_is_none() -> None:
    assert spelled_as("fb15k", ["umls", "fb15k-237"]) is None
