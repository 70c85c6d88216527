"""Takes the picture of `rldk samples`, of a toy that is trained here until it has hacked its reward (30 s).

It is saved as docs/images/samples.svg. The training is one of the detection set: benchmarks/detection.
"""

import contextlib
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "samples.svg"
SCENARIO, SEED, FINDING = "grpo-reward-hacked", 1, "proxy-divergence"

sys.path.insert(0, str(ROOT / "benchmarks" / "detection"))


def train(folder: Path) -> None:
    """Record the training in `folder` as `my_run`, its reward functions observed."""
    from rldk.integrations.trl import RLDKCallback, observe_rewards

    scenarios = import_module("scenarios").SCENARIOS
    (scenario,) = (one for one in scenarios if one.name == SCENARIO)
    callback = RLDKCallback(folder, "my_run", truth_metric=scenario.truth)
    trainer = import_module("recipes").build(scenario.recipe, folder / "trainer", SEED, [callback])
    trainer.reward_funcs = observe_rewards(trainer.reward_funcs)
    trainer.train()


def main() -> None:
    """Train, show, save."""
    from rldk.doctor.judge import judge
    from rldk.doctor.sample_evidence import evidence
    from rldk.report.samples_page import print_samples
    from rldk.runs import Run, open_run

    console = Console(record=True, width=92, force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        train(Path("rldk_logs"))
        run: Run = open_run("rldk_logs/my_run")
        shown = evidence(judge(run), run.samples())[FINDING]
        console.print(f"$ rldk samples rldk_logs/my_run --finding {FINDING}", style="dim")
        title = f"rldk_logs/my_run: {len(shown)} samples of {FINDING}"
        print_samples(console, title, shown, full=True, more="")
        console.print()  # the frame cuts into the last line
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(PICTURE), title="rldk samples")
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
