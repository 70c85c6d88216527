import subprocess
import sys

import pytest
from click.testing import CliRunner

from rldk import __version__
from rldk.cli import main
from rldk.report.sparkline import sparkline


@pytest.mark.parametrize("command", [[], *([name] for name in main.commands)])
def test_every_command_has_help_that_says_what_it_does(command):
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_the_version_is_the_package_s():
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_help_loads_nothing_heavy():
    code = "import sys; from rldk.cli import main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"torch", "transformers", "numpy", "rich", "pandas"}.isdisjoint(loaded)


def test_wrong_arguments_exit_2():
    assert CliRunner().invoke(main, ["export"]).exit_code == 2
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2


def test_a_sparkline_goes_from_its_lowest_to_its_highest_block():
    assert sparkline([0.0, 1.0, None, 2.0], 10) == "▁▄ █" or sparkline([0.0, 1.0, None, 2.0], 10) == "▁▅ █"
    assert sparkline([1.0] * 100, 10) == "▁" * 10
    assert sparkline([], 10) == " "
    assert sparkline([None, float("nan")], 10) == "  "
