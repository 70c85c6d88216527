"""What several rules of the checkpoint family do with one run."""

from checkpoints.judging import findings
from health.rules.checkpoint.common import facts
from rldk.health import RunContext, Settings
from rldk.health.observation import Observation
from rldk.schema.checkpoint import Part


def test_nothing_is_said_of_a_whole_checkpoint():
    assert findings(facts()) == {}


def test_what_was_deleted_while_it_was_read_is_not_judged():
    broken = Part(name="model.safetensors", fault="cut short")
    assert findings(facts(gone="deleted", parts=[broken], non_finite_tensors=1)) == {}


def test_a_record_of_another_make_is_let_be():
    monitor = Settings().monitor(RunContext())
    monitor.observe(Observation(3, "checkpoint", {}, detail={"path": 7}))
    assert not monitor.failed
    assert not monitor.incidents
