"""Secrets of real trainings, and real configurations without any."""

import json
import sys
from pathlib import Path

import pytest
import trl
from peft import LoraConfig
from transformers import GenerationConfig, GPT2Config, Qwen2Config, TrainingArguments

from processes import run_script
from rldk.recording.redaction import BLANK, redact

pytestmark = pytest.mark.training

CONFIGURATIONS = [getattr(trl, name) for name in sorted(dir(trl)) if name.endswith("Config")]
TRAINERS = [TrainingArguments, *(kind for kind in CONFIGURATIONS if issubclass(kind, TrainingArguments))]
HIDDEN = {"hub_token", "push_to_hub_token"}
"""What transformers hides itself, as `<HUB_TOKEN>`."""


def test_no_secret_of_a_training_that_an_exception_ends_is_in_its_files(tmp_path):
    done = run_script(
        f"""
        import sys
        sys.path[:0] = {[*sys.path, str(Path(__file__).parent)]!r}
        sys.argv = ["train.py", "--judge", '{{"api_key": "s3cret-1"}}', "--openai-key", "s3cret-2",
                    "s3cret-3", "-H", "X-Api-Key: s3cret-4", "judge.token=s3cret 5", "--max_tokens", "512"]
        from dataclasses import dataclass, field
        from pathlib import Path
        from types import SimpleNamespace
        import trainings
        from transformers import TrainingArguments

        @dataclass
        class Judge:
            url: str = "https://me:s3cret-6@judge/v1"
            api_key: str = "s3cret-7"
            max_tokens: int = 512

        @dataclass
        class Arguments(TrainingArguments):
            judge: Judge = field(default_factory=Judge)
            headers: str = '{{"Authorization": "Basic s3cret-8"}}'
            hooks: str = "https://hooks.slack.com/services/T0/B0/s3cret9"
            pairs: str = "x"

        def fail():
            try:
                raise KeyError({{"x-api-key": "s3cret-10"}})
            except KeyError as error:
                error.add_note("password: s3cret-11")
                raise ConnectionError(
                    f"401 for https://judge/score?api_key=s3cret-12&x=1 with {{Judge(api_key='s3cret-13')}}"
                ) from error

        trainings.TrainingArguments = Arguments
        folder = Path({str(tmp_path)!r})
        trainer = trainings.line(folder, [trainings.recorder(folder / "logs"), trainings.After(2, fail)])
        trainer.args.pairs = [["api_key", "s3cret-14"], SimpleNamespace(token="s3cret-15")]
        trainer.train()
        """
    )
    assert "ConnectionError" in done.stderr
    files = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert {"r_run.json", "r_crash.txt", "r_final_report.json", "r_events.jsonl"} <= files.keys()
    assert [
        (name, line) for name, text in files.items() for line in text.splitlines() if "s3cret" in line
    ] == []
    about = json.loads(files["r_run.json"])
    (attempt,) = about["attempts"]
    assert attempt["args"]["judge"] == {
        "url": f"https://{BLANK}@judge/v1",
        "api_key": BLANK,
        "max_tokens": 512,
    }
    assert attempt["command"][-2:] == ["--max_tokens", "512"]
    assert about["end"]["detail"].startswith("ConnectionError: 401 for https://judge/score?api_key=")
    assert "rldk: the process ended" in files["r_crash.txt"]


def _changed(value, safe, path=""):
    """Where a redacted value is another than it was."""
    if isinstance(value, dict):
        assert list(map(str, value)) == list(safe)
        for key, item in value.items():
            yield from _changed(item, safe[str(key)], f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, (item, other) in enumerate(zip(value, safe, strict=True)):
            yield from _changed(item, other, f"{path}[{index}]")
    elif (value if isinstance(value, str | int | float | None) else str(value)) != safe:
        yield path.removeprefix(".")


@pytest.mark.compat
@pytest.mark.parametrize("kind", TRAINERS, ids=lambda kind: kind.__name__)
def test_nothing_of_a_trainers_configuration_is_blanked_but_its_tokens(kind, tmp_path):
    values = kind(output_dir=str(tmp_path), report_to=[], use_cpu=True, bf16=False).to_dict()
    assert set(_changed(values, redact(values))) <= HIDDEN


@pytest.mark.compat
@pytest.mark.parametrize(
    "config", [Qwen2Config(), GPT2Config(), GenerationConfig(), LoraConfig()], ids=lambda c: type(c).__name__
)
def test_nothing_of_a_models_configuration_is_blanked(config):
    values = config.to_dict()
    assert list(_changed(values, redact(values))) == []
