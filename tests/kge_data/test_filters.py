from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kge_data.errors import DataError
from kge_data.filters import KnownAnswers

IDS = st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 6))


@given(
    st.lists(IDS, max_size=40),
    st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 6), st.integers(-2, 9))),
)
def test_agrees_with_a_dictionary_of_sets(
    triples: list[tuple[int, int, int]], queried: list[tuple[int, int, int]]
) -> None:
    known = KnownAnswers(np.array(triples, dtype=np.int64).reshape(-1, 3))
    answers: dict[tuple[int, int], set[int]] = {}
    for head, relation, tail in triples:
        answers.setdefault((head, relation), set()).add(tail)

    queries = sorted(answers)
    assert list(zip(known.heads.tolist(), known.relations.tolist(), strict=True)) == queries
    for row, query in enumerate(queries):
        assert known.tails[known.offsets[row] : known.offsets[row + 1]].tolist() == sorted(answers[query])
    assert len(known.offsets) == len(queries) + 1

    heads, relations, tails = np.array(queried, dtype=np.int64).reshape(-1, 3).T
    expected_rows = [queries.index((h, r)) if (h, r) in answers else -1 for h, r, _ in queried]
    assert known.find(heads, relations).tolist() == expected_rows
    assert known.contains(heads, relations, tails).tolist() == [t in answers.get((h, r), ()) for h, r, t in queried]
    rows, found = known.gather(heads, relations)
    assert list(zip(rows.tolist(), found.tolist(), strict=True)) == [
        (row, tail) for row, (h, r, _) in enumerate(queried) for tail in sorted(answers.get((h, r), ()))
    ]
    for h, r, _ in queried:
        assert known.answers(h, r).tolist() == sorted(answers.get((h, r), ()))


def test_all_arrays_are_int64() -> None:
    known = KnownAnswers(np.array([[0, 1, 2], [0, 1, 0]], dtype=np.int32))
    rows, tails = known.gather([0], [1])
    for array in (
        known.heads,
        known.relations,
        known.offsets,
        known.tails,
        rows,
        tails,
        known.find([0], [1]),
    ):
        assert array.dtype == np.int64


def test_ids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match=r"more than 2\*\*63 possible triples"):
        KnownAnswers(np.array([[2**31, 2**10, 2**31]]))


def test_ids_beyond_the_known_ones_are_not_taken_for_others() -> None:
    known = KnownAnswers(np.array([[0, 0, 3], [0, 1, 0], [1, 3, 3]]))
    assert known.contains([0, 0, 0], [0, 0, 1], [3, 4, 0]).tolist() == [True, False, True]
    assert known.contains([1, 0], [0, 4], [0, 0]).tolist() == [False, False]
    assert known.find([0, 2**62], [4, 0]).tolist() == [-1, -1]
    assert not known.contains([2**60], [1], [0])[0]
