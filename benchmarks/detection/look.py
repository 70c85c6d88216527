"""Prints the series of stored runs, as `shows` in the table was written from them.

`python benchmarks/detection/look.py NAME... [--keys PART,PART]`: runs whose name begins with a NAME.
"""

import argparse
from pathlib import Path

import numpy as np

from rldk.runs import open_run
from rldk.schema.run_info import RunEnd

RUNS = Path(__file__).resolve().parent / "runs"
KEYS = {
    *(
        "loss",
        "lr",
        "grad_norm",
        "reward_mean",
        "reward_std",
        "frac_reward_zero_std",
        "kl_mean",
        "entropy_mean",
    ),
    *("completion_length_mean", "truncated_frac", "rewards_margins", "rewards_accuracies", "rewards_chosen"),
    *("logps_chosen", "token_accuracy_mean", "rewards/correct/mean", "eval_loss", "eval_rewards_accuracies"),
    *("eval_rewards_margins", "eval_token_accuracy_mean"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="+")
    parser.add_argument("--keys", default="", help="also metrics with these in their names")
    options = parser.parse_args()
    more = tuple(filter(None, options.keys.split(",")))
    for folder in sorted(RUNS.iterdir()):
        if not folder.name.startswith(tuple(options.names)):
            continue
        run = open_run(folder)
        end = run.info.end or RunEnd()
        for phase in ("train", "eval"):
            columns = run.columns(phase)
            count = len(columns["step"])
            if not count:
                continue
            rows = sorted({round(x) for x in np.linspace(0, count - 1, 15)} | {1, 4, 9} & set(range(count)))
            print(f"== {folder.name} {phase} {count} records, ended {end.how} {end.detail or ''}")
            print(f"   {'step':26}", *(f"{int(columns['step'][row]):>9}" for row in rows))
            for key in columns:
                if key in KEYS or any(part in key for part in more):
                    print(f"   {key[:26]:26}", *(f"{columns[key][row]:>9.4g}" for row in rows))


if __name__ == "__main__":
    main()
