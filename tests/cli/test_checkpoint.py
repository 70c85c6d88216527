"""`rldk checkpoint`: which one it takes, what it compares with, what it says, how it exits."""

import json
import os
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from checkpoints.files import file_bytes, matrix, save
from checkpoints.trained import Trained
from events import event, write_run
from rldk.checkpoints import Analysis, Analyst
from rldk.cli import main
from rldk.cli.progress import measuring

DOCS = Path(__file__).parents[2] / "docs" / "checkpoints.md"


def rldk(*arguments):
    return CliRunner().invoke(main, ["checkpoint", *(str(argument) for argument in arguments)])


def output_of(*arguments):
    """The object that is printed; a number that strict JSON does not know is an error."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(rldk(*arguments, "--format", "json").stdout, parse_constant=refuse)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("trained"))


def layers(count=8, moved=0.0, seed=0):
    """Weights of layers, moved a little; one element of each is not."""
    tensors = {"model.embed_tokens.weight": matrix(12, 6, seed)}
    for layer in range(count):
        tensors[f"model.layers.{layer}.mlp.up_proj.weight"] = matrix(8, 6, layer + 1)
    for tensor in tensors.values():
        tensor.ravel()[1:] *= 1 + moved
    return tensors


@pytest.fixture
def out(tmp_path):
    """A trainer's folder with three checkpoints, of which weights and progress alone were kept."""
    for step, moved in ((5, 0.0), (10, 0.01), (20, 0.02)):
        save(tmp_path / "out" / f"checkpoint-{step}", layers(moved=moved), step=step)
    return tmp_path / "out"


@pytest.mark.training
def test_a_good_checkpoint_of_a_real_training(trained):
    result = rldk(trained["grpo"][12].path)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "HEALTHY  checkpoint-12 · 65,696 parameters · F32 · 270 kB"
    assert lines[1] == "The weights are whole and finite. Training can resume from it."
    page = " ".join(result.stdout.split())
    assert "against checkpoint-6 (the newest earlier checkpoint), 6 steps earlier" in page
    assert "74 parameter tensors, each with its state, after 12 steps, next learning rate" in page
    assert "300 rows of embeddings for 300 tokens, the head is tied to them" in page
    assert re.search(r"^model\.layers\.0-5\.mlp +36,864 .*% +0\.\d+ +[▁-█]{6}$", result.stdout, re.MULTILINE)
    assert "Not examined" not in page
    assert max(map(len, lines)) <= 80 or lines[-1].startswith("  rldk checkpoint /")


@pytest.mark.training
@pytest.mark.parametrize("run", ["grpo-sharded", "grpo-bf16", "sft-padded", "grpo-lora"])
def test_every_kind_of_good_checkpoint_is_healthy(trained, run):
    step = max(trained[run])
    found = output_of(trained[run][step].path, "--fail-on", "info")
    assert found["status"] == "healthy"
    assert found["verdict"] == "The weights are whole and finite. Training can resume from it."
    assert found["not_examined"] == (
        ["the adapter's update relative to its base model: name the model's folder with --base"]
        if run == "grpo-lora"
        else []
    )


@pytest.mark.training
def test_an_adapter_against_its_base(trained):
    path = trained["grpo-lora"][8].path
    named, behind = (rldk(path, *how).stdout for how in (("--base", trained.model), (trained.model,)))
    assert named == behind
    page = " ".join(named.split())
    assert "12 modules of rank 4, alpha 8, update ||sBA||" in page
    assert "% of the base's weights, stable rank" in page
    assert "against checkpoint-7 (the newest earlier checkpoint), 1 step earlier" in page
    assert "Not examined" not in page
    alone = rldk(path / "adapter_model.safetensors")
    assert alone.exit_code == 0
    assert "adapter_config.json" not in alone.stdout


@pytest.mark.training
def test_a_shard_alone_is_not_blamed_for_what_is_in_the_others(trained):
    shard = max(trained["grpo-sharded"][12].path.glob("model-*.safetensors"))
    found = output_of(shard, "--fail-on", "info")
    assert found["status"] == "healthy"
    assert found["compared_with"] == "checkpoint-6 (the newest earlier checkpoint)"
    assert found["checkpoint"]["compared"]["tensors"] == found["checkpoint"]["tensors"] > 0


@pytest.mark.training
def test_a_published_model_lacks_nothing(trained):
    result = rldk(trained.model, "--fail-on", "info")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1] == "The weights are whole and finite."
    assert "changes: there is no earlier checkpoint in the same folder" in " ".join(
        result.stdout.lower().split()
    )


def test_the_newest_of_a_trainer_s_folder_is_taken_and_said(out):
    result = rldk(out)
    assert output_of(out)["chosen"] == f"checkpoint-20 is the newest checkpoint in {out}."
    assert "checkpoint-20 is the newest checkpoint in" in result.stdout
    assert "checkpoint-10 (the newest earlier checkpoint), 10 steps earlier" in " ".join(
        result.stdout.split()
    )


def test_weights_in_the_folder_itself_come_before_its_checkpoints(out):
    save(out, layers())
    found = output_of(out)
    assert found["path"] == str(out)
    assert found["chosen"].endswith(f"For its newest checkpoint: rldk checkpoint {out}/checkpoint-20.")


def test_a_run_names_the_newest_checkpoint_that_its_trainer_saved(out, tmp_path):
    files = write_run(tmp_path / "logs", event(1), run_id="my_run")
    attempt = {"args": {"save_only_model": True}}
    files.run.write_text(json.dumps({"trainer_dir": str(out), "attempts": [attempt]}))
    result = rldk(tmp_path / "logs" / "my_run", "--fail-on", "info")
    page = " ".join(result.stdout.split())
    assert f"{out}/checkpoint-20" in page.replace(" ", "")  # a long path is cut at the end of a line
    assert "is the newest checkpoint of the run my_run." in page
    assert result.exit_code == 0  # the run says that the model alone was to be saved
    assert f"rldk doctor {tmp_path}/logs/my_run" in result.stdout
    assert rldk(out, "--fail-on", "info").exit_code == 1
    shutil.rmtree(out)
    result = rldk(tmp_path / "logs" / "my_run")
    assert result.exit_code == 2
    assert "rldk finds no checkpoint in" in result.stderr


def test_a_run_names_the_last_checkpoint_that_its_loop_saved_anywhere(out, tmp_path):
    saved = out.rename(tmp_path / "saves") / "checkpoint-20"
    files = write_run(tmp_path / "logs", event(1), run_id="my_run")
    files.run.write_text(json.dumps({"trainer_dir": str(tmp_path / "empty")}))
    lines = [
        {
            "kind": "checkpoint",
            "step": step,
            "seen_at_step": step,
            "analysis": {"path": str(path), "step": step},
        }
        for step, path in ((20, saved), (30, tmp_path / "deleted"))
    ]
    files.checkpoints.write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert output_of(tmp_path / "logs" / "my_run")["path"] == str(saved)


def test_what_it_is_compared_with(out, monkeypatch):
    monkeypatch.chdir(out / "checkpoint-20")
    assert output_of(".")["compared_with"] == "checkpoint-10 (the newest earlier checkpoint)"
    found = output_of(".", "../checkpoint-5")
    assert found["compared_with"] == "../checkpoint-5"
    assert found["checkpoint"]["compared"]["step"] == 5
    found = output_of(".", "--no-compare")
    assert found["compared_with"] is found["checkpoint"]["compared"] is None
    assert found["not_examined"] == ["changes: not compared, as requested"]
    assert output_of("../checkpoint-5")["compared_with"] is None
    found = output_of("../checkpoint-5", "--base", "../checkpoint-20")
    assert found["compared_with"] == "the base model in ../checkpoint-20"
    assert "15 steps later" in " ".join(rldk("../checkpoint-5", "../checkpoint-20").stdout.split())


def test_the_weights_of_another_model(out, tmp_path):
    other = save(tmp_path / "other", {"some.weight": matrix()})
    result = rldk(out, other)
    assert "no tensor in common with" in result.stdout
    other = save(tmp_path / "other", {name: value.astype(np.float16) for name, value in layers().items()})
    page = rldk(out, other).stdout
    assert "no tensor of the same dtype and shape as in" in page
    assert "||dW||" not in page
    assert "weight-drift" in page


def test_a_layer_that_ran_away_has_a_row_and_a_mark(out):
    tensors = layers(moved=0.02)
    tensors["model.layers.5.mlp.up_proj.weight"] *= 2
    save(out / "checkpoint-20", tensors, step=20)
    page = rldk(out).stdout
    assert re.search(r"^model\.layers\.5\.mlp .*x its peers$", page, re.MULTILINE)
    assert re.search(r"^model\.layers\.0-4,6-7\.mlp +336 ", page, re.MULTILINE)


def test_nan_is_critical_and_its_layer_is_marked(out):
    tensors = layers(moved=0.02)
    tensors["model.layers.3.mlp.up_proj.weight"][1, 1] = np.nan
    save(out / "checkpoint-20", tensors, step=20)
    result = rldk(out / "checkpoint-20")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("CRITICAL  checkpoint-20")
    assert lines[1].startswith("The weights are whole, but 1 of 9 tensors holds NaN or infinities.")
    assert re.search(r"^model\.layers\.3\.mlp .* NaN$", result.stdout, re.MULTILINE)
    assert f"rldk checkpoint {out}/checkpoint-10" in result.stdout
    assert rldk(out, "--fail-on", "never").exit_code == 0
    assert rldk(out, "--ignore", "checkpoint-non-finite").exit_code == 0
    assert rldk(out, "--select", "CKP005").exit_code == 0
    assert rldk(out, "--select", "OPT").exit_code == 2


def test_thresholds(out):
    shutil.copy(out / "checkpoint-5" / "model.safetensors", out / "checkpoint-10" / "model.safetensors")
    assert rldk(out / "checkpoint-10").exit_code == 1  # five steps without a change
    assert rldk(out / "checkpoint-10", "--threshold", "weights-unchanged.steps=6").exit_code == 0
    assert rldk(out / "checkpoint-10", "--threshold", "weights-unchanged.nonsense=6").exit_code == 2


@pytest.mark.parametrize("size", range(0, 2600, 173))
def test_weights_cut_at_any_byte_are_critical(out, size):
    os.truncate(out / "checkpoint-20" / "model.safetensors", size)
    result = rldk(out)
    assert result.exit_code == 1
    assert "The weights are not whole." in result.stdout
    assert output_of(out)["status"] == "critical"
    assert "CRITICAL" in rldk(out, "-f", "markdown").stdout


def test_what_cannot_be_read_is_exit_2_and_one_line(out, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no checkpoint")
    (tmp_path / "run.safetensors").mkdir()
    for path in ("nowhere", tmp_path / "empty", tmp_path / "notes.txt", tmp_path / "run.safetensors"):
        result = rldk(path)
        assert result.exit_code == 2, path
        assert len(result.stderr.splitlines()) == 1
        assert "Name a checkpoint's folder" in result.stderr
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.json").write_text('{"model_type": "qwen2"}')
    result = rldk(out, tmp_path / "hollow")
    assert result.exit_code == 2
    assert "has no weights to compare with: model.safetensors is missing" in result.stderr
    assert (
        rldk(out, tmp_path / "nowhere").exit_code == rldk(out, "--base", tmp_path / "nowhere").exit_code == 2
    )


def test_arguments_that_exclude_each_other(out):
    assert rldk(out, out / "checkpoint-5", "--no-compare").exit_code == 2
    assert "the same checkpoint" in rldk(out, out / "checkpoint-20").stderr


def test_weights_in_a_format_that_is_not_read_are_not_called_healthy(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "pytorch_model.bin").write_bytes(b"PK")
    result = rldk(tmp_path / "checkpoint-3")
    assert result.exit_code == 2
    assert result.stdout.startswith("INSUFFICIENT-DATA  checkpoint-3\nrldk could not read any weights.")
    assert "Pytorch_model.bin" not in result.stdout
    assert "pytorch_model.bin: weights in a format that is not read here" in result.stdout
    assert "could not read any weights of" in result.stderr


def test_one_that_is_deleted_meanwhile_is_exit_2(out, monkeypatch):
    gone = Analysis(path=str(out / "checkpoint-20"), gone="checkpoint-20 was deleted while it was read")
    monkeypatch.setattr(Analyst, "analyse", lambda *_: gone)
    result = rldk(out)
    assert result.exit_code == 2
    assert result.stderr == "rldk: checkpoint-20 was deleted while it was read\n"


def test_hostile_names_move_no_cursor(tmp_path):
    name = "model.layers.0.\x1b[2J[red]\u202e" + "x" * 300
    tensors = {name: matrix(), "[bold]|`<b>@all": np.full((3, 3), np.nan, np.float32)}
    for step, sign in ((5, 1), (10, -1)):
        moved = {key: value * sign for key, value in tensors.items()}
        save(tmp_path / "\x1b[31mout" / f"checkpoint-{step}", moved, step=step)
    for kind in ("terminal", "markdown", "json"):
        result = rldk(tmp_path / "\x1b[31mout", "--format", kind, *(["-v"] if kind == "terminal" else []))
        assert result.exit_code == 1
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", result.stdout), kind
    table = rldk(tmp_path / "\x1b[31mout").stdout.partition("By layer")[2].partition("\n\n")[0]
    assert "[bold]" in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_bar_is_shown_on_a_terminal_alone(monkeypatch, capsys):
    with measuring("reading", lambda: 0, 10):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    asked = threading.Event()
    with measuring("reading [red]x", lambda: asked.set() or 5_000, 9_000):
        assert asked.wait(30)
    assert "reading [red]x" in capsys.readouterr().err


def test_the_documentation_shows_the_command():
    text = DOCS.read_text()
    for example in re.findall(r"^rldk checkpoint .*$", text, re.MULTILINE):
        options = re.findall(r"--[\w-]+", example)
        assert set(options) <= {name for one in main.commands["checkpoint"].params for name in one.opts}
    assert "images/checkpoint.svg" in text


def test_file_bytes_of_one_tensor_are_a_checkpoint_of_their_own(tmp_path):
    path = tmp_path / "alone.safetensors"
    path.write_bytes(file_bytes({"weight": matrix()}))
    result = rldk(path)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1] == "The weights are whole and finite."
