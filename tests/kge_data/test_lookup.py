from __future__ import annotations

import pytest

from kge_data.errors import AmbiguousName, DataError, UnknownName
from kge_data.lookup import Names

NAMES = Names(
    "entity",
    ["/m/1", "/m/2", "/m/3", "/m/4", "Springfield"],
    {0: "Jeremy Irons", 1: "Paris", 2: "Paris", 3: "dog, a domestic animal"},
)


@pytest.mark.parametrize(
    ("typed", "number"),
    [("/m/2", 1), ("/M/2", 1), ("Jeremy Irons", 0), ("jeremy irons", 0), ("dog", 3), ("springFIELD", 4)],
)
def test_finds(typed: str, number: int) -> None:
    assert NAMES.find(typed) == number


def test_an_identifier_wins_over_a_name() -> None:
    assert Names("entity", ["Rome", "Q1"], {1: "Rome"}).find("Rome") == 0


def test_an_identifier_that_is_also_its_readable_name_is_one_candidate() -> None:
    assert Names("entity", ["ROME", "Q1"], {0: "Rome"}).find("rome") == 0


def test_exact_case_wins_over_any_case() -> None:
    names = Names("entity", ["Q1", "Q2"], {0: "turkey", 1: "Turkey"})
    assert (names.find("turkey"), names.find("Turkey")) == (0, 1)
    with pytest.raises(AmbiguousName):
        names.find("TURKEY")


def test_an_ambiguous_name_lists_the_candidates() -> None:
    with pytest.raises(AmbiguousName) as caught:
        NAMES.find("Paris")
    assert str(caught.value) == (
        'entity "Paris" could be any of 2: /m/2 (Paris); /m/3 (Paris). Give the identifier, /m/2 for instance.'
    )


def test_a_long_list_of_candidates_is_cut() -> None:
    with pytest.raises(AmbiguousName, match=r"any of 9: .*; and 4 more\."):
        Names("entity", [str(n) for n in range(9)], dict.fromkeys(range(9), "same")).find("same")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        NAMES.find("Jermy Irons")
    assert str(caught.value) == 'no entity is called "Jermy Irons"; nearest: /m/1 (Jeremy Irons).'


def test_an_unknown_name_is_compared_with_lemmas_too() -> None:
    gloss = "dog, informal term for a man; " + 5 * "you lucky dog "
    with pytest.raises(UnknownName) as caught:
        Names("entity", ["1", "2"], {0: gloss, 1: "cat, a feline"}).find("dogg")
    assert str(caught.value) == f'no entity is called "dogg"; nearest: 1 ({gloss[:59].rstrip()}…).'


def test_an_unknown_name_without_neighbours() -> None:
    with pytest.raises(UnknownName, match="none of the 5 names is similar"):
        NAMES.find("xyzzy xyzzy")


def test_both_errors_are_data_errors() -> None:
    assert issubclass(UnknownName, DataError)
    assert issubclass(AmbiguousName, DataError)


def test_many_at_once() -> None:
    names = ["/m/2", "Paris", "nobody", "dog", "/m/2", "nobody", "springFIELD"]
    ids, reasons = NAMES.find_all(names)
    assert ids.tolist() == [1, -1, -1, 3, 1, -1, 4]
    assert reasons["nobody"] == 'no entity is called "nobody"' and list(reasons) == ["Paris", "nobody"]
    with pytest.raises(AmbiguousName) as caught:
        NAMES.find("Paris")
    assert str(caught.value) == reasons["Paris"]
