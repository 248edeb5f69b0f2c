# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from fpg_pose_ros.tracking.numbers import Numbers

HERE, THERE = np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.0, 1.0])
SECOND = 1_000_000_000


def take(numbers: Numbers, living=(), place=HERE, count=4, at=0) -> int:
    return numbers.take(living, place, 0.1, count, at)


def test_the_smallest_free_number_goes_first():
    numbers = Numbers()
    assert take(numbers) == 0
    assert take(numbers, living=[0]) == 1
    assert take(numbers, living=[0, 2]) == 1


def test_a_number_rests_before_it_names_another_thing():
    numbers = Numbers()
    numbers.give_back(0, HERE, 0)
    assert take(numbers, place=THERE, at=SECOND) == 1
    assert take(numbers, living=[1], place=THERE, at=6 * SECOND) == 0


def test_a_thing_that_reappears_where_it_was_lost_gets_its_number_back():
    numbers = Numbers()
    numbers.give_back(0, THERE, 0)
    numbers.give_back(1, HERE, 0)
    assert take(numbers, place=HERE + 0.02, at=SECOND) == 1
    assert take(numbers, place=HERE, living=[1], at=SECOND) == 2


def test_numbers_stay_below_the_count_even_if_all_rest():
    numbers = Numbers()
    numbers.give_back(1, THERE, 0)
    numbers.give_back(0, THERE, SECOND)
    assert take(numbers, count=2, at=2 * SECOND) == 1
    assert take(numbers, count=2, living=[1], at=2 * SECOND) == 0


def test_a_count_that_was_lowered_under_living_numbers_does_no_harm():
    assert take(Numbers(), living=[0, 1, 2], count=2) == 3
