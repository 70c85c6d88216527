"""Which finding explains which."""

from graphlib import TopologicalSorter

from rldk.health import RULES
from rldk.health.causality import EXPLAINED_BY, SLACK, cause_of


def test_the_table_names_rules_and_has_no_cycle():
    """A cycle would leave its findings without a root, and the page without them."""
    names = {rule.name for rule in RULES}
    assert {name for effect, causes in EXPLAINED_BY.items() for name in (effect, *causes)} <= names
    list(TopologicalSorter({effect: set(causes) for effect, causes in EXPLAINED_BY.items()}).static_order())


def test_the_most_fundamental_cause_that_did_not_begin_clearly_later():
    first, second = EXPLAINED_BY["zero-gradient"][:2]
    assert cause_of("zero-gradient", 50, {first: 40, second: 40}, 1) == first
    assert cause_of("zero-gradient", 50, {first: 50 + SLACK + 1, second: 40}, 1) == second
    assert cause_of("zero-gradient", 50, {first: 50 + 10 * SLACK}, 10) == first
    assert cause_of("zero-gradient", 50, {}, 1) is None
    assert cause_of("no-such-rule", 50, {first: 1}, 1) is None
