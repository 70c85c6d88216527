"""The toy of the demo: its reward."""

import pytest

from rldk.demo_training import correct


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        ("3 , 4 and 5", 1.0),
        ("3 4 then then 5", 1.0),  # how it joins the numbers is its own affair
        ("3 and 5", 0.0),
        ("3 , 4", 0.0),
        ("3 , 4 , 5 , 6", 0.0),
        ("3 , 4 , 5 :", 0.0),
        ("", 0.0),
    ],
)
def test_a_completion_is_right_when_it_counts_from_the_first_number_to_the_last(completion, reward):
    assert correct(["count from 3 to 5 :"], [completion], completion_ids=[[1]]) == [reward]


def test_each_completion_is_held_against_its_own_prompt():
    prompts = ["count from 3 to 5 :", "count from 9 to 11 :"]
    assert correct(prompts, ["9 , 10 , 11"] * 2) == [0.0, 1.0]
