"""SYS008 disk-nearly-full: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.timed import diagnosed, found
from rldk.health import RunContext
from rldk.health.rules.system.disk_nearly_full import least_size
from rldk.testing import line, noise

STEPS = {"save_strategy": "steps", "save_steps": 100, "max_steps": 1000}
QWEN = {"hidden_size": 896, "num_hidden_layers": 24, "vocab_size": 151936, "intermediate_size": 4864}


def disk(free, size=None):
    free = np.asarray(free, dtype=float)
    columns = {"resource/disk_free": free}
    return columns if size is None else columns | {"resource/checkpoint_size": np.full(len(free), size)}


def full(columns, options=STEPS, **more):
    return found(columns, "disk-nearly-full", options=options, **more)


def test_less_than_three_checkpoints_is_a_warning():
    finding = full(disk(np.full(20, 40.0), size=15.0))
    assert finding.severity == "warning"
    assert finding.first_step == 3
    assert (
        "40 GiB are free where the run writes; 3 checkpoints of 15 GiB each will not fit" in finding.message
    )
    assert full(disk(np.full(20, 46.0), size=15.0)) is None


def test_no_more_room_is_asked_for_than_checkpoints_are_to_come():
    columns = disk(np.full(950, 20.0), size=15.0)
    finding = full(columns)
    assert (finding.severity, finding.last_step) == ("info", 899)  # one is left: it fits
    assert full(disk(np.full(20, 20.0), size=15.0), STEPS | {"save_steps": 1000}) is None
    assert full(disk(np.full(20, 20.0), size=15.0), {"save_strategy": "no"}) is None


def test_a_limit_frees_what_it_takes():
    limited = STEPS | {"save_total_limit": 2}
    run = disk(np.full(500, 20.0), size=15.0)
    finding = full(run, limited)
    assert (finding.severity, finding.last_step) == ("info", 199)  # two are there: the next one replaces one
    assert full(disk(np.full(500, 10.0), size=15.0), limited).severity == "warning"  # but it is written first


def test_saves_at_the_ends_of_epochs_are_counted_and_of_others_one_is_sure():
    columns = disk(np.full(500, 20.0), size=15.0) | {"epoch": np.arange(1, 501) / 100}
    by_epoch = {"save_strategy": "epoch", "num_train_epochs": 10, "save_total_limit": 2}
    finding = full(columns, by_epoch)
    assert (finding.severity, finding.last_step) == ("info", 199)
    assert full(columns, by_epoch | {"save_strategy": "best"}) is None
    assert (
        full(columns | disk(np.full(500, 10.0)), by_epoch | {"save_strategy": "best"}).severity == "warning"
    )


def test_before_a_checkpoint_the_model_tells_what_one_takes_at_least():
    columns = disk(np.full(20, 1.5))
    finding = full(columns, model=QWEN)
    assert "at least 0.7" in finding.message
    assert full(columns, model=QWEN, model_class="PeftModelForCausalLM") is None
    assert full(columns) is None
    assert full(disk(np.full(20, 1.5), size=0.01), model=QWEN) is None  # what was measured holds


def test_the_least_size_is_below_the_real_one():
    def size(**model):
        return least_size(RunContext(model=model))

    assert 0.5 * 0.92 < size(**QWEN) < 0.92  # Qwen2.5-0.5B in bf16
    llama = size(hidden_size=4096, num_hidden_layers=32, vocab_size=128256, intermediate_size=14336)
    assert 0.5 * 15 < llama < 15  # Llama 3.1 8B in bf16
    assert 0.1 < size(n_embd=768, n_layer=12, vocab_size=50257) < 0.24  # GPT-2 in bf16
    assert size(hidden_size=896, text_config={}) is None
    assert size(**QWEN | {"hidden_size": "many"}) is None


@pytest.mark.parametrize("free", [0.3, 0.9, 2.0, 40.0])
def test_a_small_disk_that_stays_as_it_is_is_healthy(free):
    assert full(disk(free + np.abs(noise(600, 0.001))), {"max_steps": 10_000}) is None


def test_a_disk_that_runs_out_before_the_end_is_named():
    finding = full(disk(line(100, 60, 400)), {"max_steps": 2000})
    assert finding.severity == "warning"
    assert "nothing is left in" in finding.message
    assert full(disk(line(100, 60, 400)), {"max_steps": 800}) is None
    assert full(disk(line(100, 99.5, 400)), {"max_steps": 200_000}) is None  # its logs


def test_one_download_is_no_trend():
    assert full(disk(np.concatenate([np.full(200, 100.0), np.full(200, 60.0)])), {"max_steps": 5000}) is None


def test_checkpoints_are_a_trend_until_their_limit_is_reached():
    every = {"save_strategy": "steps", "save_steps": 20, "max_steps": 5000}
    filling = 200 - 3.0 * (np.arange(400) // 20)
    assert full(disk(filling), every).severity == "warning"
    assert full(disk(filling), every | {"save_total_limit": 30}) is None
    plateau = 200 - 3.0 * np.minimum(np.arange(800) // 20, 5)
    assert full(disk(plateau), every | {"save_total_limit": 5}) is None


def test_a_save_in_progress_is_no_shortage():
    free = np.full(200, 50.0)
    free[20::50] = 30.0
    assert full(disk(free, size=15.0), STEPS) is None


def test_the_last_gibibyte_is_named_where_the_run_began_with_more():
    finding = full(disk(np.concatenate([np.full(50, 3.0), np.full(50, 0.5)])), {"max_steps": 5000})
    assert finding.severity == "warning"
    assert "0.5 GiB are free where the run writes, 3 GiB when it began" in finding.message


def test_a_log_without_it_says_what_would_enable_it():
    told = {one.rule: one for one in diagnosed({"reward_mean": np.ones(30)}).not_checked}
    assert "RLDKCallback" in told["disk-nearly-full"].how
