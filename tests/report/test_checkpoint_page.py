"""A checkpoint on a page: layers put together, what is not said, and names that only stand there."""

import io
import json
import math
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from checkpoints.judging import findings
from rldk.health import Diagnosis
from rldk.report.checkpoint_page import as_markdown, as_object, print_checkpoint
from rldk.report.checkpoint_phrases import CheckpointReport, share, size, unexamined, verdict
from rldk.report.checkpoint_table import rows_of
from rldk.report.sparkline import sparkline
from rldk.schema.checkpoint import (
    Analysis,
    Comparison,
    Group,
    LoraAdapter,
    NonFiniteTensor,
    Optimizer,
    Part,
    Vocabulary,
)

hostile = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\x1b\x00\x08\x9b\u202e\u2066\u200b[]`<@|.\r\n\t"),
    max_size=200,
)


def group(name, drift=0.001, unchanged=0.9, parameters=1000, norm=2.0):
    return Group(name=name, tensors=1, parameters=parameters, norm=norm, unchanged=unchanged, drift=drift)


def deep(layers=80, **apart):
    """The groups of a model, in the order of its file: layer 10 stands before layer 2."""
    names = sorted(str(layer) for layer in range(layers))
    return [
        group("model.embed_tokens"),
        *(
            group(f"model.layers.{n}.{part}", **apart.get(f"{part}{n}", {}))
            for n in names
            for part in ("mlp", "norms")
        ),
        group("model.norm"),
    ]


def looked(*groups, diagnosis=None, chosen="", **facts):
    about = {"tensors": 9, "parameters": 9000, "bytes": 18_100, "dtypes": {"BF16": 9000}, "kind": "model"}
    about["parts"] = [Part(name="model.safetensors", bytes=18_100, tensors=9)]
    compared = Comparison(path="/runs/checkpoint-1", step=1, steps=1, tensors=9, unchanged=0.9, drift=0.001)
    about |= {"compared": compared, "groups": list(groups), "step": 2, "path": "/runs/checkpoint-2"} | facts
    return CheckpointReport(
        source="checkpoint-2",
        name="checkpoint-2",
        found=Analysis(**about),
        diagnosis=diagnosis or Diagnosis(status="insufficient-data", findings=[], not_checked=[]),
        chosen=chosen,
        compared_with="checkpoint-1 (the newest earlier checkpoint)",
    )


def judged(*groups, **facts):
    one = looked(*groups, **facts)
    found = list(findings(one.found).values())
    status = max((f.severity for f in found), key=["info", "warning", "critical"].index, default="healthy")
    return looked(*groups, **facts, diagnosis=Diagnosis(status=status, findings=found, not_checked=[]))


def page(one, width=80, *, verbose=False):
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, highlight=False)
    print_checkpoint(console, one, verbose=verbose)
    return out.getvalue()


def test_eighty_layers_are_one_row_in_the_order_of_their_numbers():
    rows = rows_of(looked(*deep()).found, (), every=False)
    assert [row.name for row in rows] == [
        "model.embed_tokens",
        "model.layers.0-79.mlp",
        "model.layers.0-79.norms",
        "model.norm",
    ]
    assert rows[1].layers == len(rows[1].series) == 80
    assert rows[1].parameters == 80_000
    assert rows[1].drift == pytest.approx(0.001)
    assert rows[1].unchanged == pytest.approx(0.9)
    assert rows[1].norm == pytest.approx(2 * math.sqrt(80))


def test_the_numbers_of_a_row_are_those_of_all_its_tensors_together():
    first = group("h.0.mlp", drift=0.3, unchanged=0.5, parameters=100, norm=4.0)
    second = group("h.1.mlp", drift=0.1, unchanged=1 / 3, parameters=300, norm=3.0)
    (row,) = rows_of(looked(first, second).found, (), every=False)
    assert row.drift == pytest.approx(math.hypot(0.3 * 4.0, 0.1 * 3.0) / 5.0)
    assert row.unchanged == pytest.approx((0.5 * 100 + 100) / 400)


def test_frozen_layers_have_a_row_of_their_own():
    frozen = {f"mlp{n}": {"drift": 0.0, "unchanged": 1.0} for n in (0, 1, 3, 5, 7, 9)}
    names = [row.name for row in rows_of(looked(*deep(12, **frozen)).found, (), every=False)]
    assert names[1:3] == ["model.layers.0-1,3,5,….mlp", "model.layers.2,4,6,….mlp"]


def test_a_layer_that_a_rule_points_at_stands_under_its_like():
    one = judged(*deep(mlp31={"drift": 0.05}))
    text = page(one)
    lines = text.partition("By layer")[2].splitlines()
    assert re.match(r"model\.layers\.0-30,32-79\.m\S* +79,000 +90\.0% +0\.001 +█{12}$", lines[2])
    assert re.match(r"model\.layers\.31\.mlp +1,000 +90\.0% +0\.05 +50x its peers$", lines[3])
    assert "| model.layers.31.mlp | 1,000 | 90.0% | 0.05 | 50x its peers |" in as_markdown(one)


def test_a_drift_that_no_float_holds_is_shown():
    assert "inf" in page(judged(*deep(mlp31={"drift": math.inf})))


def test_a_tensor_with_nan_marks_its_row():
    spoiled = [NonFiniteTensor(name="model.layers.3.mlp.up_proj.weight", nan=1, elements=10)]
    one = judged(*deep(8), non_finite=spoiled, non_finite_tensors=1)
    assert re.search(r"^model\.layers\.3\.mlp .* NaN$", page(one), re.MULTILINE)
    assert verdict(one).startswith("The weights are whole, but 1 of 9 tensors holds NaN or infinities.")


def test_every_layer_in_a_row_with_v():
    text = page(looked(*deep()), verbose=True)
    assert [int(n) for n in re.findall(r"^model\.layers\.(\d+)\.mlp", text, re.MULTILINE)] == list(range(80))
    assert "-v" not in text.rpartition("Next")[2]


def test_more_rows_than_a_screen_holds_are_counted():
    text = page(looked(*(group(f"part{n}.weight") for n in range(40))))
    assert "  and 16 more: --verbose lists them" in text
    assert "part39" in page(looked(*(group(f"part{n}.weight") for n in range(40))), verbose=True)


def test_where_it_is_narrow_names_come_before_sizes():
    one = looked(*deep(8))
    narrow, wide = page(one, 60), page(one, 80)
    assert "model.layers.0-7.m" in narrow
    assert "model.layers.0-7.mlp " in wide
    assert "parameters  " not in narrow
    assert "parameters  " in wide


def test_without_a_comparison_the_norms_are_shown():
    groups = [group(f"h.{n}.mlp", None, None) for n in range(3)]
    one = looked(*groups, compared=None)
    header = next(line for line in page(one).splitlines() if line.startswith("By layer"))
    assert header.split() == ["By", "layer", "parameters", "||W||", "layer", "by", "layer"]
    assert "name another as OTHER" in " ".join(page(one).split())
    assert "rldk checkpoint checkpoint-2 OTHER" in page(one)


def test_what_is_known_of_a_predecessor_that_is_gone():
    gone = Comparison(path="/runs/checkpoint-1", tensors=9, unchanged_tensors=4, unmeasured="it is gone")
    text = " ".join(
        page(looked(group("h.0.mlp", None, 1.0), group("h.1.mlp", None, None), compared=gone)).split()
    )
    assert "4 of 9 tensors are bit-equal" in text
    assert "How far the weights moved: it is gone." in text


def test_what_was_not_read_is_not_called_whole():
    unread = [Part(name="model.safetensors", bytes=10, tensors=0)]
    one = looked(tensors=0, parts=unread, notes=["its header is too large to examine"])
    assert one.status == "insufficient-data"
    assert verdict(one) == "rldk could not read any weights."
    half = looked(parts=[Part(name="a", tensors=9), *unread], notes=["b: its header is too large to examine"])
    assert verdict(half) == "The weights are whole and finite as far as rldk read them."
    four_bits = looked(dtypes={"F4": 9000})
    assert "as far as rldk read them" in verdict(four_bits)
    assert unexamined(four_bits) == ["NaN and infinities in tensors of type F4, which rldk does not read"]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"resumable": True, "state": "whole"}, "Training can resume from it."),
        ({"state": "partial", "missing": ["a", "b", "c", "d", "e"]}, "no a, b, c or 2 others."),
        ({"faults": ["a shard is missing"], "state": "whole"}, "not whole. Training cannot resume from it."),
        ({"empty_tensors": 1}, "The weights are not whole."),
        ({}, "The weights are whole and finite."),
    ],
)
def test_the_verdict(facts, words):
    assert verdict(looked(**facts)).endswith(words)


def test_what_an_adapter_an_optimizer_and_a_vocabulary_are_said_to_be():
    one = looked(
        kind="adapter",
        adapter=LoraAdapter(
            kind="LORA",
            modules=56,
            r=16,
            alpha=32.0,
            zero_b=2,
            update=1.23456,
            update_share=0.0042,
            stable_rank=2.5,
        ),
        optimizer=Optimizer(
            parameters=112, moments=True, without_state=3, fewest_steps=4, most_steps=9, lr=[1e-5]
        ),
        vocabulary=Vocabulary(embedding_rows=151_936, head_rows=151_936, tokens=151_665),
    )
    text = " ".join(page(one).split())
    assert "56 modules of rank 16, alpha 32, update ||sBA|| 1.23, 0.4% of the base's weights" in text
    assert "stable rank 2.5 (median), 2 change nothing" in text
    assert "112 parameter tensors, 3 without a state, after 4 to 9 steps, next learning rate 1e-05" in text
    assert "151,936 rows of embeddings for 151,665 tokens, 151,936 rows of the head" in text


def test_a_share_is_never_all_or_nothing_unless_it_is():
    assert [share(one) for one in (0, 1e-9, 0.001, 0.5, 0.999, 0.9999999, 1)] == [
        "0%",
        "< 0.1%",
        "0.1%",
        "50.0%",
        "99.9%",
        "> 99.9%",
        "100%",
    ]
    assert [size(one) for one in (1, 999, 1000, 494_000_000, 15_231_000_000)] == [
        "1 byte",
        "999 bytes",
        "1 kB",
        "494 MB",
        "15.2 GB",
    ]


def test_a_sparkline_in_a_given_scale_begins_at_zero_and_is_clipped():
    assert sparkline([0.0, 1.0, 7.0, 100.0, None], 5, 7.0) == "▁▂██ "
    assert sparkline([0.0, 0.0], 5, 0.0) == "▁▁"
    assert sparkline([0.0, 2e-311], 5) == sparkline([-1.7e308, 1.7e308], 5) == "▁█"


@given(hostile, st.integers(40, 200))
@settings(max_examples=60, deadline=None)
def test_names_are_text(name, width):
    one = judged(
        *(group(f"{name}.{n}.{name}") for n in range(2)),
        group(name, drift=None),
        chosen=name,
        dtypes={name: 5},
        notes=[name],
        faults=[name],
        missing=[name],
        state="partial",
        non_finite=[NonFiniteTensor(name=name, nan=1)],
        non_finite_tensors=1,
    )
    for text in (page(one, width), page(one, width, verbose=True), as_markdown(one)):
        controls = {c for c in text if unicodedata.category(c) in {"Cc", "Cf"}} - {"\n"}
        assert not controls
    table = page(one, width).partition("By layer")[2].partition("\n\n")[0]
    assert all(cell_len(line) <= width for line in table.splitlines())
    json.dumps(as_object(one), allow_nan=False)
    assert as_object(one)["status"] == "critical"


def test_markup_stands_as_it_is():
    one = looked(group("[red]a[/red].0.b"), chosen="[bold]x[/bold] <b>@all", notes=["`<script>`|"])
    assert "[red]a[/red].0.b" in page(one)
    text = as_markdown(one)
    assert "<script>" not in text.replace(r"\<script", "")
    assert "@all" not in text
