"""Runs that tests of several rules of the system family use."""

from rldk.health import RunContext, Settings, diagnose


def of_rule(observations, rule, **context):
    monitor = Settings().monitor(RunContext(algorithm="grpo", dialect="trl", **context))
    monitor.begin()
    for one in observations:
        monitor.observe(one)
    return next((found for found in diagnose(monitor).findings if found.rule == rule), None)
