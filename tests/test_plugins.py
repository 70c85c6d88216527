"""Entry points of other packages: loaded late, and left out with one warning where they fail."""

import pytest

from plugins import register
from processes import run_script
from rldk._plugins import named_plugins, plugins
from rldk.metrics.dialects.detect import installed_dialects
from rldk.runs.adapters import Adapter, adapters

SOURCE = """
from rldk.runs.adapters import Adapter

def adapter(name):
    return Adapter(name, "a log of mine", lambda probe: 0.0, lambda path, on_bad: iter(()))

MINE, OTHER = adapter("mine"), adapter("other")
BOTH = [MINE, OTHER]
"""


def names(group="rldk.adapters", reserved=()):
    return [adapter.name for _, adapter in named_plugins(group, Adapter, reserved)]


def test_an_entry_point_stands_for_an_object_or_for_several(installed):
    installed("rldk.adapters", "b = plugin_a:BOTH", "a = plugin_a:adapter", plugin_a=SOURCE)
    import plugin_a

    assert plugins("rldk.adapters") == (
        ("plugin_a:adapter", plugin_a.adapter),
        ("plugin_a:BOTH", plugin_a.MINE),
        ("plugin_a:BOTH", plugin_a.OTHER),
    )
    assert plugins("rldk.dialects") == ()


def test_a_plug_in_that_fails_is_left_out_with_one_warning(installed, caplog):
    installed(
        "rldk.adapters",
        "a = plugin_no_such_module",
        "b = plugin_a:missing",
        "c = plugin_b",
        "d = not a path!",
        "e = plugin_a:MINE",
        "f = plugin_c",
        plugin_a=SOURCE,
        plugin_b="1 / 0",
        plugin_c="raise SystemExit(3)",
    )
    assert names() == names() == ["mine"]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 5
    assert all("is left out: " in message for message in caplog.messages)
    assert "plugin_no_such_module is left out: ModuleNotFoundError" in caplog.messages[0]
    assert "plugin_b is left out: ZeroDivisionError" in caplog.messages[2]
    assert "plugin_c is left out: SystemExit: 3" in caplog.messages[4]


def test_metadata_that_cannot_be_read_is_one_warning(installed, caplog):
    installed("rldk.adapters", "no equals sign")
    assert plugins("rldk.adapters") == plugins("rldk.adapters") == ()
    (message,) = caplog.messages
    assert message.startswith("rldk: plug-ins of rldk.adapters are left out: ")


def test_what_is_of_another_kind_or_has_a_name_that_is_taken_is_left_out(installed, caplog):
    installed(
        "rldk.adapters",
        "a = plugin_a:BOTH",
        "b = plugin_a:MINE",
        "c = plugin_a:adapter",
        plugin_a=SOURCE,
    )
    import plugin_a

    assert names(reserved=["other"]) == ["mine"]
    assert caplog.messages == [
        "rldk: the plug-in plugin_a:BOTH is left out: there is another 'other'",
        "rldk: the plug-in plugin_a:MINE is left out: there is another 'mine'",
        f"rldk: the plug-in plugin_a:adapter is left out: {plugin_a.adapter!r} is no Adapter",
    ]


UNNAMED = """
from rldk.metrics.dialects import Dialect
from rldk.runs.adapters import Adapter, adapters

ADAPTERS = [Adapter(name, "", lambda probe: 0.0, lambda path, on_bad: iter(())) for name in ("rldk", [])]
DIALECTS = [Dialect("generic", {}), Dialect(None, {})]
"""


@pytest.mark.parametrize(
    ("group", "entry_point", "found"),
    [
        ("rldk.adapters", "a = plugin_a:ADAPTERS", lambda: {one.name for one in adapters()}),
        ("rldk.dialects", "a = plugin_a:DIALECTS", installed_dialects),
    ],
)
def test_the_names_that_rldk_uses_itself_and_what_is_no_name_are_left_out(
    installed, caplog, group, entry_point, found
):
    installed(group, entry_point, plugin_a=UNNAMED)
    assert not {"rldk", "generic", None} & set(found())
    first, second = caplog.messages
    assert "is left out: there is another " in first
    assert " is no " in second


@pytest.mark.parametrize("group", ["rldk.adapters", "rldk.dialects"])
def test_plug_ins_are_loaded_when_a_log_is_opened_and_not_before(tmp_path, group):
    package = register(tmp_path / "package", group, "a = plugin_loud", plugin_loud="print('loaded')")
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n')
    code = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import rldk, rldk.cli, rldk.runs.adapters, rldk.metrics.dialects.detect
        rldk.open_run
        print("imported")
        rldk.open_run(sys.argv[2]).dialect
        """
    assert run_script(code, package, log).stdout.split() == ["imported", "loaded"]
