"""`rldk checkpoint` over hostile files, each in a process with limits that the kernel enforces."""

import os
import resource
import subprocess
import sys

import pytest

from checkpoints.files import matrix, save
from checkpoints.hostile import ADAPTERS, PICKLES, TEXTS, WEIGHTS, ZIPS, write, zipped

CPU_SECONDS = 30
"""The bound is 10 s of one file; SIGXCPU ends a process that needs three times as much."""
MEMORY = 1_300_000_000
"""1 GB, and what the process and its command line take before they read."""


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def looked_at(folder) -> str:
    """What `rldk checkpoint` prints; it ends by itself, within its limits and in words."""
    done = subprocess.run(
        [sys.executable, "-m", "rldk", "checkpoint", folder, "--no-compare", "--format", "markdown"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=limited,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1, 2), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text('{"vocab_size": 8}')
    return save(tmp_path, {"model.embed_tokens.weight": matrix()}, step=3)


@pytest.mark.parametrize("name", PICKLES)
def test_a_hostile_pickle_costs_no_more_than_its_bytes(folder, name):
    write(folder, "optimizer.pt", zipped(PICKLES[name]()))
    assert "optimizer" in looked_at(folder)


@pytest.mark.parametrize("name", ZIPS)
def test_a_hostile_zip_costs_no_more_than_its_bytes(folder, name):
    write(folder, "optimizer.pt", ZIPS[name]())
    assert "optimizer" in looked_at(folder)


@pytest.mark.parametrize("name", WEIGHTS)
def test_hostile_weights_cost_no_more_than_their_bytes(folder, name):
    content, hole = WEIGHTS[name]
    write(folder, "model.safetensors", content(), hole)
    looked_at(folder)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_hostile_adapter_costs_no_more_than_its_bytes(tmp_path, name):
    (tmp_path / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["a", "b"]}'
    )
    write(tmp_path, "adapter_model.safetensors", *ADAPTERS[name]())
    looked_at(tmp_path)


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_json_costs_no_more_than_its_bytes(folder, name):
    file, content = TEXTS[name]
    write(folder, file, content())
    looked_at(folder)


def test_a_tree_of_fifteen_hundred_folders_is_no_recursion(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for _ in range(1500):  # beyond the length of a path
        os.mkdir("d")
        os.chdir("d")
    monkeypatch.chdir(folder.parent)
    looked_at(folder)
    subprocess.run(["rm", "-rf", folder / "d"], check=True)  # pytest would remove it by recursion
