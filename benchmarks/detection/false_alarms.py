"""Healthy runs that no one has looked at: how many give an alarm at any time?

`python benchmarks/detection/false_alarms.py [--runs N] [--seed S]`. Generates runs of GRPO, DPO and SFT that
are healthy by construction: rewards that learn at once, late, slowly or not at all, losses that fall with
steps at epochs, noise of three autocorrelations, normal and with heavy tails, lengths from 40 to 500 records,
`logging_steps` 1 and 10. Prints the alarms at warning or above by rule and kind of run, and their share.
"""

import argparse
import sys
from collections import Counter

import numpy as np
from rich.console import Console
from rich.progress import track

from rldk.health import RunContext, Settings, Severity
from rldk.schema.event import DataSlice, Event, ModelInfo, Rng

RECORDS = (40, 100, 200, 500)
Columns = dict[str, np.ndarray]


class Noise:
    """Noise of one run.

    Args:
        rng: where it comes from.
        records: its length.
    """

    def __init__(self, rng: np.random.Generator, records: int) -> None:
        self.rng, self.records = rng, records
        self.rho = float(rng.choice([0.0, 0.3, 0.6]))
        self.heavy = rng.random() < 0.5

    def __call__(self, sd: float) -> np.ndarray:
        """A series of standard deviation `sd`."""
        normal = self.rng.standard_normal(self.records)
        shocks = self.rng.standard_t(4, self.records) / np.sqrt(2) if self.heavy else normal
        series = np.zeros(self.records)
        for i in range(self.records):
            series[i] = self.rho * (series[i - 1] if i else 0.0) + np.sqrt(1 - self.rho**2) * shocks[i]
        return sd * series


def grpo(rng: np.random.Generator, records: int) -> tuple[str, Columns]:
    """A reward that learns or stands, and what goes with it."""
    noise, t = Noise(rng, records), np.linspace(0, 1, records)
    shapes = {
        "learns": 0.2 + 0.6 * (1 - np.exp(-4 * t)),
        "late": 0.2 + 0.6 / (1 + np.exp(-12 * (t - 0.6))),
        "slow": 0.3 + 0.2 * t,
        "flat": np.full(records, 0.4),
    }
    kind = str(rng.choice([*shapes]))
    learns = kind in ("learns", "late")
    return f"grpo, {kind}", {
        "reward_mean": shapes[kind] + noise(float(rng.choice([0.02, 0.05, 0.1]))),
        "reward_std": np.full(records, 0.3) + noise(0.02),
        "entropy_mean": rng.uniform(0.2, 1.5)
        * np.exp(-rng.uniform(0, 0.8) * t * (kind != "flat") + noise(0.1)),
        "kl_mean": rng.uniform(0.005, 0.3) * t * np.exp(noise(0.3)),
        "grad_norm": rng.uniform(0.1, 3) * np.exp(noise(0.3)),
        "completion_length_mean": rng.uniform(50, 500) * np.exp(0.3 * t * learns + noise(0.08)),
        "truncated_frac": np.clip(rng.uniform(0, 0.15) + noise(0.03), 0, 1),
        "frac_reward_zero_std": np.clip(rng.uniform(0.05, 0.4) + noise(0.1), 0, 1),
        "clip_frac": np.abs(noise(0.01)),
        "sampling_logp_difference_mean": 0.008 * np.exp(noise(0.15)),
        "importance_sampling_ratio_mean": 1 + noise(0.01),
        "step_time": 5 * np.exp(noise(0.1)),
        "loss": noise(0.01),
    }


def dpo(rng: np.random.Generator, records: int) -> tuple[str, Columns]:
    """Margins that grow, both rewards falling in half of the runs."""
    noise, t = Noise(rng, records), np.linspace(0, 1, records)
    margin = rng.uniform(0.5, 3) * t
    falls = rng.random() < 0.5
    chosen = (-0.5 if falls else 0.3) * margin
    accuracy = np.clip(0.5 + 0.35 * (1 - np.exp(-4 * t)) + noise(0.06), 0, 1)
    return f"dpo, {'both fall' if falls else 'chosen rises'}", {
        "loss": np.log(1 + np.exp(-margin)) * np.exp(noise(0.08)),
        "rewards_chosen": chosen + noise(0.05),
        "rewards_rejected": chosen - margin + noise(0.05),
        "rewards_margins": margin + noise(0.07),
        "rewards_accuracies": accuracy,
        "logps_chosen": -120 + 3 * chosen + noise(6),
        "logps_rejected": -130 + 3 * (chosen - margin) + noise(6),
        "grad_norm": rng.uniform(1, 8) * np.exp(noise(0.3)),
    }


def sft(rng: np.random.Generator, records: int) -> tuple[str, Columns]:
    """A loss that falls, with a step at each of three epochs in half of the runs."""
    noise, t = Noise(rng, records), np.linspace(0, 1, records)
    steps = rng.random() < 0.5
    level = 1.2 + 0.8 * np.exp(-8 * t) - (0.15 * np.floor(3 * t) if steps else 0.1 * t)
    loss = level * np.exp(noise(float(rng.choice([0.02, 0.05, 0.1]))))
    return f"sft, {'by epochs' if steps else 'smooth'}", {
        "loss": loss,
        "token_accuracy_mean": np.clip(0.95 - 0.25 * loss + noise(0.01), 0, 1),
        "entropy_mean": 0.9 * level * np.exp(noise(0.05)),
        "grad_norm": rng.uniform(0.3, 3) * np.exp(noise(0.3)),
    }


def alarms(algorithm: str, columns: Columns, spacing: int) -> set[str]:
    """The rules that alerted at warning or above at any time."""
    records = len(columns["loss"])
    monitor = Settings().monitor(RunContext(algorithm=algorithm, dialect="trl"))
    monitor.begin()
    found = set()
    for record in range(records):
        metrics = {name: float(column[record]) for name, column in columns.items()}
        metrics["lr"] = 1e-6 * (1 - record / records)
        event = Event(
            step=(record + 1) * spacing,
            wall_time=10.0 * record,
            metrics=metrics,
            rng=Rng(),
            data_slice=DataSlice(),
            model_info=ModelInfo(),
            notes=(),
        )
        news = monitor.feed(event)
        found |= {one.rule.name for one in news if one.verdict.severity >= Severity.WARNING}
    return found


def main() -> int:
    """Generate, judge, count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    false: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    ill = 0
    for number in track(range(options.runs), "judging", console=Console(stderr=True)):
        algorithm, make = (("grpo", grpo), ("dpo", dpo), ("sft", sft))[number % 3]
        kind, columns = make(rng, int(rng.choice(RECORDS)))
        kinds[kind] += 1
        found = alarms(algorithm, columns, int(rng.choice([1, 1, 10])))
        ill += bool(found)
        false.update((rule, kind) for rule in found)
    print(f"{ill} of {options.runs} healthy runs gave an alarm ({ill / options.runs:.2%})")
    for (rule, kind), count in false.most_common():
        print(f"  {rule} on {kind}: {count} of {kinds[kind]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
