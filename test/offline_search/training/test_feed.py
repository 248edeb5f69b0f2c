# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from offline_search.training.feed import Span


def test_each_process_gets_its_part_of_each_batch() -> None:
    assert list(Span(1, 3, 4)) == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert list(Span(1, 3, 4, 0, 2)) == [[4, 5], [8, 9]]
    assert list(Span(1, 3, 4, 1, 2)) == [[6, 7], [10, 11]]
    assert len(Span(1, 3, 4, 1, 2)) == 2
