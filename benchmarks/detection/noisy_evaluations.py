"""Healthy runs whose evaluations are of few prompts: how many give an alarm at any time?

`python benchmarks/detection/noisy_evaluations.py [--runs N] [--seed S]`. The train reward learns, and each
evaluation is a mean over 8 to 64 prompts that are right or wrong: it rises with the policy, or stands, and
never falls. Prints the alarms at warning or above by rule, as `false_alarms.py` does.
"""

import argparse
import sys
from collections import Counter

import numpy as np
from rich.console import Console
from rich.progress import track

from rldk.health import RunContext, Settings, Severity
from rldk.schema.event import DataSlice, Event, ModelInfo, Phase, Rng

RECORDS = (60, 100, 200, 400)
EVERY = (5, 10, 20)
PROMPTS = (8, 16, 32, 64)


def event(step: int, phase: Phase, metrics: dict[str, float]) -> Event:
    """One record of a run."""
    return Event(
        step=step,
        wall_time=10.0 * step,
        metrics=metrics,
        rng=Rng(),
        data_slice=DataSlice(),
        model_info=ModelInfo(phase=phase),
        notes=(),
    )


def alarms(rng: np.random.Generator) -> set[str]:
    """The rules that alerted at warning or above at any time of one run."""
    records, every = int(rng.choice(RECORDS)), int(rng.choice(EVERY))
    prompts, start = int(rng.choice(PROMPTS)), rng.uniform(0.1, 0.6)
    trained = rng.uniform(0.1, 0.9 - start)
    evaluated = trained * rng.choice([0.0, 0.3, 1.0])  # what is learned may not carry over
    monitor = Settings().monitor(RunContext(algorithm="grpo", dialect="trl"))
    monitor.begin()
    found: set[str] = set()
    for step in range(1, records + 1):
        done = 1.0 - np.exp(-4.0 * step / records)
        rows: list[tuple[Phase, dict[str, float]]] = [
            (
                "train",
                {
                    "reward_mean": float(rng.binomial(64, start + trained * done) / 64),
                    "reward_std": 0.4,
                    "loss": float(rng.normal(0.0, 0.01)),
                    "grad_norm": float(np.exp(rng.normal(0.0, 0.2))),
                },
            )
        ]
        if step % every == 0:
            score = rng.binomial(prompts, start + evaluated * done) / prompts
            rows.append(("eval", {"eval_reward_mean": float(score), "eval_reward_std": 0.4}))
        for phase, metrics in rows:
            news = monitor.feed(event(step, phase, metrics))
            found |= {one.rule.name for one in news if one.verdict.severity >= Severity.WARNING}
    return found


def main() -> int:
    """Generate, judge, count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2900)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    false: Counter[str] = Counter()
    ill = 0
    for _ in track(range(options.runs), "judging", console=Console(stderr=True)):
        found = alarms(rng)
        ill += bool(found)
        false.update(found)
    print(f"{ill} of {options.runs} healthy runs gave an alarm ({ill / options.runs:.2%})")
    for rule, count in false.most_common():
        print(f"  {rule}: {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
