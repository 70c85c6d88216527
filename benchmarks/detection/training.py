"""One training of the set, and the keeping of what it recorded."""

import atexit
import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import store
import transformers

from rldk.integrations.trl import RLDKCallback
from rldk.runs import RecordedRun
from rldk.runs.event_reader import read_lines
from rldk.schema.event import decode
from rldk.schema.files import RunFiles

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
datasets.disable_progress_bars()


def train(build: Callable[..., Any], recipe: Any, folder: Path, name: str, seed: int, resumes: bool) -> None:
    """Train in this process what `build` makes of the recipe, recorded as the run `name` in `folder`.

    It may raise, or be killed.
    """
    os.chdir(folder)
    callback = RLDKCallback(folder, name)
    with (
        (folder / "output.txt").open("a") as output,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        try:
            trainer = build(recipe, folder / "trainer", seed, [callback], resumes=resumes)
            trainer.train(resume_from_checkpoint=True if resumes else None)
        except Exception as error:
            sys.last_value = error  # as the interpreter leaves it, for the callback to find at exit
            traceback.print_exc()
        finally:
            atexit._run_exitfuncs()  # noqa: SLF001 - a process of multiprocessing leaves without


def keep(folder: Path, target: Path, config: Any) -> None:
    """Store the one run in `folder` as `target`; `config` is the class of its configuration."""
    name = target.name
    run = RecordedRun(RunFiles(folder, name))
    files = RunFiles(target, name)
    events = [decode(line) for part in run.parts for _, line in read_lines(part)]  # both branches of a resume
    if not events:
        said = (folder / "output.txt").read_text().strip().splitlines()
        raise ValueError(f"nothing was recorded: {said[-1] if said else ''}")
    defaults = config(output_dir="x", bf16=False).to_dict()
    store.write_events(events, files)
    store.write_info(store.trimmed(store.info_of(run), name, defaults), files)
