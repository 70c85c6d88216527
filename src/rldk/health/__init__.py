"""Judging a run: rules, the Monitor that applies them, the Diagnosis of what they found. Reads no files."""

from rldk.health.context import RunContext
from rldk.health.diagnosis import Diagnosis, NotChecked, diagnose, finding_of
from rldk.health.installed_rules import installed_rules
from rldk.health.monitor import Incident, Monitor
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy, render_remedies
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules import RULES
from rldk.health.settings import Settings, find_rule, options_of, select
from rldk.schema.alert import Finding

__all__ = [
    "RULES",
    "Cause",
    "Diagnosis",
    "Finding",
    "Incident",
    "Monitor",
    "NotChecked",
    "Observation",
    "Remedy",
    "Rule",
    "RuleOptions",
    "RunContext",
    "Settings",
    "Severity",
    "Verdict",
    "diagnose",
    "find_rule",
    "finding_of",
    "installed_rules",
    "options_of",
    "render_remedies",
    "select",
]
