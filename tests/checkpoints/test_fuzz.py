"""Mutated checkpoints: none ends the process, raises, or changes what is found in a healthy one."""

import json
import subprocess
import sys
from pathlib import Path

from checkpoints import fuzz


def test_no_mutation_harms_the_process_that_reads_it(tmp_path):
    folder = tmp_path / "fuzz"
    done = subprocess.run(
        [sys.executable, "-m", fuzz.__name__, folder, "--cases", "250", "--seed", "7"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    told = json.loads(done.stdout)
    assert set(told["ended"]) >= {"damaged", "not examined", "read"}
