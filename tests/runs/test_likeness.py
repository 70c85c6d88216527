"""A refusal says what the file looks like, and what to give instead."""

import pytest

from rldk.errors import UnknownFormatError
from rldk.runs.adapters.base import Probe
from rldk.runs.likeness import likeness
from rldk.runs.opener import open_run

BLOCK = "wandb: Run history:\nwandb:   train/loss █▅▁\nwandb: Run summary:\nwandb:   train/loss 0.01\n"
CRASH = 'Traceback (most recent call last):\n  File "/a/train.py", line 3, in main\n    f()\nValueError: x\n'
BARS = "  1%|▍  | 1/400 [00:01<10:00]\n  1%|▍  | 2/400 [00:02<10:00]\n"
OPTIONS = "learning_rate: 1e-5\nbatch_size: 8\nseed: 42\n"


@pytest.mark.parametrize(
    ("text", "named", "instead"),
    [
        (BLOCK, "W&B", "wandb/run-*/"),
        (CRASH, "traceback", "console log"),
        (BARS, "progress bar", "trainer_state.json"),
        (OPTIONS, "options", "log of the training"),
    ],
)
def test_a_file_without_records_is_refused_by_what_it_is(text, named, instead, tmp_path):
    path = tmp_path / "paste.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnknownFormatError) as caught:
        open_run(path)
    assert named in str(caught.value)
    assert instead in str(caught.value)


def test_prose_looks_like_nothing(tmp_path):
    path = tmp_path / "prose.txt"
    path.write_text("Dear all,\nmy training does not learn. The loss is 0.3 or so.\n")
    assert likeness(Probe(path)) is None
    assert likeness(Probe(tmp_path)) is None
