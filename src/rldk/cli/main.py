"""The group of commands. Only this module turns errors into messages and exit codes."""

from typing import Any

import click

from rldk._version import __version__
from rldk.cli.checkpoint import checkpoint
from rldk.cli.demo import demo
from rldk.cli.doctor import doctor
from rldk.cli.explain import explain
from rldk.cli.export import export
from rldk.cli.info import info
from rldk.cli.output import message_of
from rldk.cli.rules import rules
from rldk.cli.runs import runs
from rldk.cli.samples import samples
from rldk.cli.validate import validate
from rldk.errors import RLDKError

__all__ = ["main"]


class _Failure(click.ClickException):
    """rldk cannot do what the user asked: a message, and exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"rldk: {self.format_message()}", err=True, file=file)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `rldk export ... | head` is no failure; click exits quietly
            raise
        except (RLDKError, OSError) as error:
            raise _Failure(message_of(error)) from None
        except click.UsageError as error:  # quotes the arguments, which a glob may fill with file names
            raise click.UsageError(message_of(error), error.ctx) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90})
@click.version_option(__version__, prog_name="rldk")
def main() -> None:
    """A flight recorder and a doctor for RL post-training with TRL.

    Add one callback to a trainer, and rldk writes every logged step to disk at once:

    \b
        from rldk.integrations.trl import RLDKCallback
        trainer = GRPOTrainer(..., callbacks=[RLDKCallback()])

    \b
    Then:
        rldk doctor rldk_logs/my_run        find problems, causes and remedies
        rldk explain loss rldk_logs/my_run  explain a metric and your values
        rldk samples rldk_logs/my_run       read prompts, completions, rewards
        rldk checkpoint output              check the newest checkpoint
        rldk runs                           list the runs in ./rldk_logs
        rldk info rldk_logs/my_run          describe a run or another log
        rldk export rldk_logs/my_run        make a table of all steps
        rldk validate rldk_logs/my_run      check every line of the events
        rldk demo                           see it work on a tiny model

    Logs of other tools work too: rldk doctor trainer_state.json, train.log, runs/tensorboard, ...
    """


for command in (doctor, samples, checkpoint, explain, rules, demo, runs, info, export, validate):
    main.add_command(command)
