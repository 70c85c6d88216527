"""What rldk costs a real GRPO training, with everything on: python benchmarks/training.py [--check].

Trains the same small model twice a pair, with rldk and without, in changing order: the callback with all
that it has, observed reward functions with samples, checkpoints that are analysed. Prints the ratio of the
wall times (median of the pairs, and the interval that holds it with 95% by the order statistics of the
binomial distribution), and the time inside the hooks as a share of the training.
"""

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from math import comb
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

MOST_RATIO = 1.02
"""What the interval must lie below, unless it includes 1."""
MOST_SHARE = 0.01
"""Of the training's time, what the hooks may take."""
HOOKS = (
    "on_init_end",
    "on_train_begin",
    "on_epoch_begin",
    "on_step_begin",
    "on_substep_end",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_step_end",
    "on_prediction_step",
    "on_log",
    "on_evaluate",
    "on_save",
    "on_epoch_end",
    "on_train_end",
)


def timed(callback, spent):
    """The callback, each of whose hooks adds its time to `spent[hook]`."""
    for name in HOOKS:
        hook = getattr(callback, name)

        def call(*args, _hook=hook, _name=name, **kwargs):
            began = time.perf_counter()
            try:
                return _hook(*args, **kwargs)
            finally:
                spent[_name] = spent.get(_name, 0.0) + time.perf_counter() - began

        setattr(callback, name, call)
    return callback


def save_model(folder):
    """A model of two million parameters: small, but its step is no toy's."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    import tiny

    tokens = tiny.tokenizer()
    size = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "layer_types": None}
    config = Qwen2Config(**(tiny.config(tokens).to_dict() | size))
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return str(folder)


def train(model, folder, steps, *, watched, spent):
    """Seconds of one training."""
    from transformers import PrinterCallback

    import tiny
    from integrations import trainings
    from rldk.integrations.trl import RLDKCallback, observe_rewards

    rewards = [tiny.letter_reward, tiny.length_reward]
    callbacks = []
    if watched:
        rewards = observe_rewards(rewards)
        callbacks = [timed(RLDKCallback(folder / "logs", "r"), spent)]
    trainer = trainings.grpo(
        model,
        folder,
        callbacks,
        rewards=rewards,
        max_steps=steps,
        beta=0.04,
        per_device_train_batch_size=16,
        num_generations=8,
        max_completion_length=48,
        temperature=1.5,
        save_strategy="steps",
        save_steps=max(steps // 2, 1),
        save_total_limit=2,
    )
    trainer.remove_callback(PrinterCallback)  # stdout is for the result
    began = time.perf_counter()
    trainer.train()
    return time.perf_counter() - began


def interval(values):
    """The narrowest symmetric pair of order statistics that holds the median with at least 95%."""
    ordered, count = sorted(values), len(values)
    within, low = 1.0, 0
    while low + 1 < count / 2:
        within -= 2 * comb(count, low) / 2**count
        if within < 0.95:
            break
        low += 1
    low = max(low - 1, 0)
    return ordered[low], ordered[count - 1 - low]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--check", action="store_true", help="exit 1 where a limit is exceeded")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    logging.getLogger("rldk").setLevel(logging.ERROR)
    ratios, spent, watched_seconds, plain_seconds = [], {}, 0.0, 0.0
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        model = save_model(root / "model")
        train(model, root / "warm", 5, watched=True, spent={})
        for pair in range(options.pairs):
            seconds = {}
            for watched in (True, False) if pair % 2 else (False, True):
                folder = root / f"{pair}-{watched}"
                seconds[watched] = train(model, folder, options.steps, watched=watched, spent=spent)
            ratios.append(seconds[True] / seconds[False])
            watched_seconds += seconds[True]
            plain_seconds += seconds[False]
            print(
                f"pair {pair + 1}: {seconds[True]:.2f} s with, {seconds[False]:.2f} s without",
                file=sys.stderr,
            )
    low, high = interval(ratios)
    share = sum(spent.values()) / watched_seconds
    result = {
        "pairs": options.pairs,
        "steps": options.steps,
        "step_ms": round(1000 * plain_seconds / options.pairs / options.steps, 1),
        "ratio_median": round(statistics.median(ratios), 4),
        "ratio_95": [round(low, 4), round(high, 4)],
        "hooks_share": round(share, 5),
        "hooks_ms_a_step": round(1000 * sum(spent.values()) / options.pairs / options.steps, 3),
        "hooks_ms": {
            name: round(1000 * one / options.pairs, 2)
            for name, one in sorted(spent.items(), key=lambda x: -x[1])
        },
    }
    print(json.dumps(result, indent=2))
    slow = low > 1.0 and high >= MOST_RATIO
    if options.check and (slow or share > MOST_SHARE):
        sys.exit(
            f"limits: the interval includes 1 or lies below {MOST_RATIO}; hooks at most {MOST_SHARE:.0%}"
        )


if __name__ == "__main__":
    main()
