"""The search space: defaults by loss, given options, and entries of the user's."""

from __future__ import annotations

from typing import Any

import pytest

from mulde.config import flatten, hints_of
from mulde.errors import UsageError
from mulde.kge.methods import mulde, offline
from mulde.kge.training import supervised
from mulde.kge.training.tuning.space import Choices, Range, read_search, space_of

HINTS = hints_of(supervised.Config)


def defaults(config: Any, *given: str, **search: Any) -> dict[str, Any]:
    """The space of a Config, with a learning rate of 0.01."""
    hints = hints_of(type(config))
    return space_of({**flatten(config), "lr": 0.01}, hints, given, read_search(search, hints))


def test_only_options_with_an_effect_are_searched() -> None:
    binary = defaults(supervised.Config())
    assert binary == {
        "lr": Range(0.001, 0.1, log=True),
        "batch_size": Choices((125, 250, 500, 1000, 2000)),
        "negatives": Choices((12, 25, 50, 100, 200)),
    }
    assert list(defaults(supervised.Config(loss="1vsall"))) == ["lr", "batch_size", "n3"]
    assert list(defaults(mulde.Config())) == ["lr", "batch_size", "negatives", "soft_weight", "temperature"]
    assert list(defaults(offline.Config())) == ["lr", "batch_size", "n3", "soft_weight", "temperature"]
    assert "soft_weight" not in defaults(mulde.Config(soft_weight=0))


def test_given_options_are_fixed_unless_they_are_searched_by_name() -> None:
    found = defaults(supervised.Config(), "lr", "negatives", "dim", dim=[8, 16], negatives="5:20")
    assert found == {
        "batch_size": Choices((125, 250, 500, 1000, 2000)),
        "dim": Choices((8, 16)),
        "negatives": Range(5, 20, whole=True),
    }
    with pytest.raises(UsageError, match="nothing to search: all options are given"):
        defaults(supervised.Config(), "lr", "negatives", "batch_size")


def test_entries_have_the_types_of_the_options() -> None:
    words = ["lr=1e-4:1e-1:log", "batch-size=128, 256", "optimizer=adam,adagrad", "include_target=true,false"]
    assert read_search(words, hints_of(mulde.Config)) == {
        "lr": Range(1e-4, 0.1, log=True),
        "batch_size": Choices((128, 256)),
        "optimizer": Choices(("adam", "adagrad")),
        "include_target": Choices((True, False)),
    }


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("lr", "--search should be NAME=LOW:HIGH"),
        ("lrr=1:2", 'no option called "lrr"; nearest: lr'),
        ("lr=1:2:linear", "--search lr: expected LOW:HIGH or LOW:HIGH:log, got 1:2:linear"),
        ("lr=2:1", "--search lr: expected LOW and smaller than HIGH, got 2:1"),
        ("n3=0:1:log", "--search n3: expected LOW above 0 and smaller than HIGH"),
        ("lr=a:b", "--search lr: should be a number above 0 or empty, got 'a'"),
        ("batch_size=1.5,2", "--search batch_size: should be a whole number of at least 1, got '1.5'"),
        ("batch_size=64", "--search batch_size: expected two values or more, got 64"),
        ("optimizer=adam,adamm", "--search optimizer: should be one of adam, adagrad"),
        ("seed=0,1,2", "--search: seed cannot be searched"),
    ],
)
def test_impossible_entries_are_sentences(word: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_search([word], HINTS)
