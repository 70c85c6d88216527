"""Mutated checkpoints without end: each is analysed, judged and printed, and a healthy one in between.

Run as `python -m checkpoints.fuzz FOLDER --cases 20000 --seed 1` in the folder of the tests; prints one JSON
object. `--only N` runs one case again. It is a process of its own: it limits its memory, and a defect may end
it; FOLDER/case then names the case. It exits with 1 when a case raised, took more than the limit of time, or
changed what is found in the healthy checkpoint.
"""

import argparse
import collections
import io
import json
import os
import random
import resource
import shutil
import struct
import sys
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from checkpoints.files import matrix, save
from checkpoints.hostile import zipped
from rldk.checkpoints import Analysis, Analyst
from rldk.checkpoints.optimizer import optimizer_of
from rldk.checkpoints.scan import Scanner
from rldk.cli.checkpoint import examine_checkpoint
from rldk.errors import RLDKError
from rldk.report.checkpoint_page import as_markdown, as_object

MAX_SECONDS = 10.0
MEMORY = 1_500_000_000
CHECK_EVERY = 50
"""Cases between two looks at the healthy checkpoint."""
Random = random.Random

ODD: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1 << 31,
        1 << 63,
        (1 << 64) + 1,
        10**400,
        0.5,
        -0.0,
        1e308,
        float("nan"),
        float("-inf"),
    ),
    *(
        "",
        "x",
        "../../etc/passwd",
        "/dev/zero",
        "\x00",
        "\x1b[2J\x1b]0;t\x07",
        "\ud800",
        "a." * 3000,
        "💥" * 500,
    ),
    *([], {}, [[]], {"": {}}, [0] * 3000, {str(at): at for at in range(300)}),
]


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


# Bytes.


def mutated(raw: bytes, rng: Random) -> bytes:
    """Flipped, cut, repeated, spliced or filled."""
    out = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(out) + 1)
        size = rng.choice((1, 1, 2, 4, 8, 64, 1000))
        kind = rng.randrange(7)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at : at + size] = rng.randbytes(size)
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            del out[at : at + size]
        elif kind == 4:
            other = rng.randrange(len(out) + 1)
            out[at:at] = out[other : other + size]
        elif kind == 5:
            out[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 255)))
        else:
            out[at:at] = rng.randbytes(size)
    return bytes(out)


# Pickles.

OPCODES = [
    *(
        b"(",
        b")",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"]",
        b"a",
        b"e",
        b"}",
        b"s",
        b"u",
        b"N",
        b"\x88",
        b"\x89",
    ),
    *(
        b"0",
        b"1",
        b"2",
        b"R",
        b"b",
        b"\x81",
        b"\x92",
        b"\x93",
        b"\x94",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"Q",
        b".",
    ),
    *(b"l", b"d", b"o", b"\x97", b"\x98", b"g0\n", b"p0\n", b"I1\n", b"L1L\n", b"F1\n", b"S'a'\n", b"Va\n"),
]
NAMES = [
    *(b"torch._utils\n_rebuild_tensor_v2\n", b"torch._utils\n_rebuild_parameter\n", b"torch\nFloatStorage\n"),
    *(b"collections\nOrderedDict\n", b"torch\nfloat32\n", b"os\nsystem\n", b"builtins\nexec\n", b"\n\n"),
    b"rldk.checkpoints.pickles\n_tensor\n",
]
TEXTS = [
    b"state",
    b"param_groups",
    b"params",
    b"lr",
    b"step",
    b"exp_avg",
    b"storage",
    b"0",
    b"cpu",
    b"__defaults__",
]


def opcode(rng: Random) -> bytes:
    """One opcode with its argument."""
    kind = rng.randrange(14)
    number = rng.choice((0, 1, 2, 3, 7, 255, 65_535, 0x7FFFFFFF, 0xFFFFFFFF))
    count = rng.choice((0, 1, 3, 20, number))
    text = rng.choice(TEXTS)
    return {
        0: lambda: b"K" + bytes([number & 255]),
        1: lambda: b"M" + struct.pack("<H", number & 65_535),
        2: lambda: b"J" + struct.pack("<I", number),
        3: lambda: b"\x8a" + bytes([count & 255]) + rng.randbytes(min(count & 255, 30)),
        4: lambda: b"G" + rng.randbytes(8),
        5: lambda: b"X" + struct.pack("<I", len(text) if rng.random() < 0.9 else number) + text,
        6: lambda: b"\x8c" + bytes([len(text)]) + text,
        7: lambda: rng.choice((b"\x96", b"\x8e", b"\x8d")) + struct.pack("<Q", count) + bytes(min(count, 20)),
        8: lambda: rng.choice((b"h", b"q")) + bytes([number & 3]),
        9: lambda: rng.choice((b"j", b"r", b"\x8b", b"B")) + struct.pack("<I", number),
        10: lambda: b"c" + rng.choice(NAMES),
    }.get(kind, lambda: rng.choice(OPCODES))()


def pickled(raw: bytes, rng: Random) -> bytes:
    """A pickle that was changed, or that never was one."""
    kind = rng.randrange(5)
    if kind == 0:
        return mutated(raw, rng)
    if kind == 1:
        return b"\x80\x02" + b"".join(opcode(rng) for _ in range(rng.choice((3, 20, 200, 3000)))) + b"."
    if kind == 2:
        depth = rng.choice((10, 1000, 20_000))
        return (
            b"\x80\x02}"
            + rng.choice((b")", b"]", b"}"))
            + rng.choice((b"\x85", b"]a", b"(")) * depth
            + b"K\x01s."
        )
    out = bytearray(raw)
    for _ in range(rng.choice((1, 2, 5, 30))):
        at = rng.randrange(len(out))
        out[at:at] = opcode(rng)
    return bytes(out)


def rezipped(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A file of torch.save with another pickle, under its right checksum."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    main = next(name for name in parts if name.endswith("data.pkl"))
    root = main.partition("/")[0]
    rest = {name.replace(root, "a", 1): content for name, content in parts.items() if name != main}
    return zipped(change(parts[main]), rest)


def container(raw: bytes, rng: Random) -> bytes:
    """A zip whose directory, headers or parts were changed."""
    kind = rng.randrange(6)
    if kind == 0:
        return mutated(raw, rng)
    start = raw.rindex(b"PK\x05\x06")
    directory = struct.unpack("<I", raw[start + 16 : start + 20])[0] if start else 0
    if kind == 1:  # the directory alone
        return raw[:directory] + mutated(raw[directory:], rng)
    if kind == 2:
        return rng.randbytes(rng.choice((1, 100, 60_000))) + raw + rng.randbytes(rng.choice((0, 22, 65_535)))
    if kind == 3:  # sizes and offsets of an entry
        out = bytearray(raw)
        entries = [at for at in range(directory, start) if raw.startswith(b"PK\x01\x02", at)]
        at = rng.choice(entries) + rng.choice((10, 16, 20, 24, 28, 30, 32, 42))
        out[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 100, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)))
        return bytes(out)
    out, names = (
        io.BytesIO(),
        ["a/data.pkl", "../../a", "a/data/../../x", "a/\x1b[2J", "a/data/" + "9" * 5000, "/"],
    )
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")
        for _ in range(rng.choice((1, 5, 300))):
            archive.writestr(rng.choice(names), rng.choice((b"}.", b"", bytes(100_000), b"\x80\x02N.")))
        archive.comment = rng.randbytes(rng.choice((0, 65_535)))
    return out.getvalue()


# JSON and safetensors.


def odd(rng: Random) -> Any:
    """A value that does not belong anywhere."""
    return nested(rng.choice((50, 400, 900))) if rng.random() < 0.1 else rng.choice(ODD)


def other(value: Any, rng: Random) -> Any:
    """The value with one of its parts replaced, removed, renamed or added."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return odd(rng)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        return [*value[:at], other(value[at], rng), *value[at + 1 :]]
    key = rng.choice(list(value))
    kind = rng.randrange(6)
    if kind == 0:
        return {name: one for name, one in value.items() if name != key}
    if kind == 1:
        return value | {
            rng.choice(("", "a." * 5000, "\x1b[31m", key * 3, "\ud800", "lora_A.weight")): value[key]
        }
    return value | {key: other(value[key], rng)}


def text(raw: bytes, rng: Random) -> bytes:
    """JSON that was changed, or is none."""
    if rng.random() < 0.2:
        return mutated(raw, rng)
    if rng.random() < 0.05:
        return rng.choice((b"[", b'{"a":', b"-", b'"', b"\x00", b"1")) * rng.choice((1, 5000, 200_000))
    content = json.loads(raw)
    for _ in range(rng.choice((1, 1, 2, 6))):
        content = other(content, rng)
    return json.dumps(content).encode()


def weights(raw: bytes, rng: Random) -> bytes:
    """A safetensors file with another header, or other bytes."""
    size = int.from_bytes(raw[:8], "little")
    head, body = raw[8 : 8 + size], raw[8 + size :]
    kind = rng.randrange(6)
    if kind == 0:
        return mutated(raw, rng)
    if kind == 1:
        length = rng.choice((0, 1, size - 1, size + 1, 100_000_001, 1 << 63, (1 << 64) - 1))
        return length.to_bytes(8, "little") + raw[8:]
    if kind == 2:  # values of every kind: NaN, infinities, zeros
        return raw[: 8 + size] + mutated(body, rng)[: len(body)].ljust(len(body), b"\xff")
    if kind == 3:
        told = json.loads(head)
        one = rng.choice([name for name in told if name != "__metadata__"])
        begin, end = told[one]["data_offsets"]
        told[one]["data_offsets"] = rng.choice(
            ([end, begin], [begin, end + 1], [0, end], [-1, end], [begin, 1 << 62])
        )
        told[one]["shape"] = rng.choice(([1 << 62] * 9, [], [0], [end - begin], told[one]["shape"]))
        told[one]["dtype"] = rng.choice(("F32", "U8", "F4", "X", "F8_E4M3", "F64", "BOOL", ""))
        head = json.dumps(told).encode()
    else:
        head = text(head, rng)
    return len(head).to_bytes(8, "little") + head + body


def replaced(path: Path, rng: Random) -> None:
    """Something under the name of the file that is none."""
    path.unlink()
    kind = rng.randrange(6)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.write_bytes(b"")
    else:
        path.symlink_to(("/dev/zero", path.name, "/nowhere")[kind - 3])


CHANGES: dict[str, Callable[[bytes, Random], bytes]] = {
    ".safetensors": weights,
    ".json": text,
    ".pt": lambda raw, rng: (
        rezipped(raw, lambda inner: pickled(inner, rng)) if rng.random() < 0.7 else container(raw, rng)
    ),
}
"""What is done to a file, by the end of its name."""


# Healthy checkpoints.


def healthy(folder: Path) -> list[Path]:
    """A model, one in shards, and an adapter, with all that a trainer saves beside them."""
    model = {"model.embed_tokens.weight": matrix(), "model.layers.0.mlp.up_proj.weight": matrix(6, 6)}
    low = {"base_model.model.layers.0.q_proj.lora_A.weight": matrix(2, 8)}
    low["base_model.model.layers.0.q_proj.lora_B.weight"] = matrix(8, 2)
    made = [
        save(folder / "whole" / "checkpoint-3", model, step=3),
        save(folder / "shards" / "checkpoint-3", model, step=3),
        save(folder / "adapter" / "checkpoint-3", low, step=3, name="adapter_model"),
    ]
    (made[1] / "model.safetensors").unlink()
    placed = {}
    for at, (name, values) in enumerate(model.items(), 1):
        shard = f"model-0000{at}-of-00002"
        save(made[1], {name: values}, name=shard)
        placed[name] = f"{shard}.safetensors"
    index = {"metadata": {"total_size": 1}, "weight_map": placed}
    (made[1] / "model.safetensors.index.json").write_text(json.dumps(index))
    about = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (made[2] / "adapter_config.json").write_text(
        json.dumps(about | {"base_model_name_or_path": "some/model"})
    )
    for at in made:
        _beside(at)
    return made


def _beside(folder: Path) -> None:
    config = {"vocab_size": 8, "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "<s>"}]}
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    parameters = [torch.nn.Parameter(torch.ones(4, 3)) for _ in range(3)]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    for parameter in parameters:
        parameter.grad = torch.ones(4, 3)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(scheduler.state_dict(), folder / "scheduler.pt")
    torch.save({"python": (3, (1, 2), None)}, folder / "rng_state.pth")


def verdict(folder: Path) -> str:
    """All that is found in a checkpoint and does not differ from one look to the next."""
    found: Analysis = Analyst().analyse(folder)
    found.seconds = 0.0
    alone = optimizer_of(str(folder), Scanner())
    return json.dumps(
        [found.detail(), as_markdown(examine_checkpoint(folder)), alone is not None and alone.fault],
        default=str,
    )


def attack(folder: Path, rng: Random) -> str:
    """Change one, two or three files of a checkpoint and look at it; how that ended."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in CHANGES)
    before = {path: path.read_bytes() for path in rng.sample(paths, rng.choice((1, 1, 1, 2, 3)))}
    try:
        for path, content in before.items():
            if rng.random() < 0.03:
                replaced(path, rng)
            else:
                path.write_bytes(CHANGES[path.suffix](content, rng))
        try:
            looked = examine_checkpoint(folder)
        except (RLDKError, OSError):  # what the command tells in one line
            return "refused"
        as_markdown(looked)
        json.dumps(as_object(looked))
        optimizer = looked.found.optimizer
        hurt = looked.found.damaged or (optimizer is not None and optimizer.fault)
        return (
            "damaged"
            if hurt
            else "not examined"
            if looked.found.notes or (optimizer and optimizer.unread)
            else "read"
        )
    finally:
        for path, content in before.items():
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif path.is_symlink() or path.is_fifo():
                path.unlink()
            path.write_bytes(content)


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    made = healthy(arguments.folder)
    expected = [verdict(folder) for folder in made]
    ended: collections.Counter[str] = collections.Counter()
    failures, slowest = [], (0.0, -1)
    cases = range(arguments.cases) if arguments.only is None else [arguments.only]
    note = (arguments.folder / "case").open("w")
    warnings.simplefilter("error", RuntimeWarning)  # numpy's, which a user would see
    for case in cases:
        note.seek(0)
        note.write(f"{case:>9}\n")
        note.flush()
        rng = Random(f"{arguments.seed}:{case}")
        started = time.thread_time()
        try:
            ended[attack(rng.choice(made), rng)] += 1
        except Exception:
            failures.append(f"case {case}: {traceback.format_exc()}")
        taken = time.thread_time() - started
        slowest = max(slowest, (taken, case))
        if taken > MAX_SECONDS:
            failures.append(f"case {case} took {taken:.1f} s")
        if case % CHECK_EVERY == 0 and [verdict(folder) for folder in made] != expected:
            failures.append(
                f"case {case} or one of the {CHECK_EVERY} before it changed what is found in a healthy one"
            )
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"cases": len(cases), "ended": ended, "slowest": slowest, "peak_mb": round(peak)}
    json.dump(told | {"failed": len(failures), "failures": failures[:10]}, sys.stdout)
    shutil.rmtree(arguments.folder)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
