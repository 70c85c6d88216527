"""Which finding explains which."""

from graphlib import TopologicalSorter

from rldk.health import RULES, Rule, find_rule
from rldk.health.causality import SLACK, cause_of


def test_a_resume_that_changed_the_run_is_the_first_suspect_of_what_follows_within_20_records():
    onsets, changes = {"kl-blowup": 60}, {"resume-jump": 61}
    rule = find_rule("reward-collapse")
    assert cause_of(rule, 64, onsets, 1.0, changes) == "resume-jump"
    assert cause_of(rule, 82, onsets, 1.0, changes) == cause_of(rule, 82, onsets, 1.0)
    assert cause_of(rule, 60, onsets, 1.0, changes) == cause_of(rule, 60, onsets, 1.0)


def test_what_explains_a_rule_is_a_rule():
    names = {rule.name for rule in RULES}
    unknown = {rule.name: set(rule.explained_by) - names for rule in RULES}
    assert not any(unknown.values()), unknown


def test_no_rule_explains_itself_by_way_of_others():
    """A cycle would leave its findings without a root, and the page without them."""
    list(TopologicalSorter({rule.name: rule.explained_by for rule in RULES}).static_order())


def test_a_rule_names_each_cause_once():
    assert all(len(set(rule.explained_by)) == len(rule.explained_by) for rule in RULES)


def test_the_most_fundamental_cause_that_did_not_begin_clearly_later():
    rule = find_rule("zero-gradient")
    first, second = rule.explained_by[:2]
    assert cause_of(rule, 50, {first: 40, second: 40}, 1) == first
    assert cause_of(rule, 50, {first: 50 + SLACK + 1, second: 40}, 1) == second
    assert cause_of(rule, 50, {first: 50 + 10 * SLACK}, 10) == first
    assert cause_of(rule, 50, {}, 1) is None
    assert cause_of(Rule, 50, {first: 1}, 1) is None
