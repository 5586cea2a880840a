from __future__ import annotations

import numpy as np

from kge_data.analysis.cardinality import classes


def test_every_class_by_hand() -> None:
    one_to_one = [(0, 0, 1), (2, 0, 3)]
    one_to_many = [(0, 1, 1), (0, 1, 2), (3, 1, 4), (3, 1, 5)]
    many_to_one = [(h, 2, t) for t, _, h in one_to_many]
    many_to_many = [(h, 3, t) for h in (0, 1) for t in (2, 3)]
    triples = np.array(one_to_one + one_to_many + many_to_one + many_to_many)
    assert classes(triples).tolist() == ["1-1", "1-N", "N-1", "N-N"]


def test_the_threshold_itself_counts_as_many() -> None:
    three_tails_of_two_heads = np.array([(0, 0, 1), (0, 0, 2), (3, 0, 4)])
    assert classes(three_tails_of_two_heads).tolist() == ["1-N"]
    assert classes(three_tails_of_two_heads[:, ::-1]).tolist() == ["N-1"]
    four_tails_of_three_heads = np.array([(0, 0, 1), (0, 0, 2), (3, 0, 4), (5, 0, 6)])
    assert classes(four_tails_of_three_heads).tolist() == ["1-1"]


def test_repeated_triples_count_once() -> None:
    assert classes(np.array([(0, 0, 1)] * 5 + [(2, 0, 3)])).tolist() == ["1-1"]


def test_a_relation_without_triples_is_unseen() -> None:
    assert classes(np.array([(0, 1, 1)]), num_relations=3).tolist() == ["unseen", "1-1", "unseen"]
