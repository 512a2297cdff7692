"""The command line: ``faiglib --help``. Errors are one sentence on standard error.

Exit status: 1 for what cannot be done, 2 for a wrong command line, 128 + number of the signal for an interruption.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from tqdm import tqdm

from faiglib._version import __version__
from faiglib.command import analysis, data, training
from faiglib.command.options import printable, say
from faiglib.command.report import report
from faiglib.errors import FaiglibError, SharedError
from faiglib.system.interruption import interruptible
from faiglib.system.passes import out_of_memory

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Find the filters of a restoration network that remove blur or noise, and put others in their place.",
    epilog="Every command explains itself: faiglib COMMAND --help.",
)


#: What typer raises for a wrong command line; it has no public name.
_USAGE_ERROR: Any = typer.BadParameter.__base__


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Handle options that come before any command."""
    if version:
        say(f"faiglib {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(analysis.attribute)
app.command()(analysis.mask)
app.command()(analysis.interpolate)
app.command()(analysis.predict)
app.command()(analysis.restore)
app.command()(report)
app.command()(data.degrade)
app.command()(training.train)
app.command("race")(training.race_)
app.command()(training.publish)
app.command("import-weights")(data.import_weights)
app.command()(data.fetch)
app.command()(data.info)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what a user can cause ends in one sentence on standard error.

    Raises:
        SystemExit: the command failed or was interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an encoding without σ or a name's letters never costs the work
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: tqdm.write(
            f"faiglib: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr
        )
        status, message = outcome(arguments)
    if message:
        print("faiglib:", printable(" ".join(message.split())), file=sys.stderr)
    if status:
        sys.exit(status)


def outcome(arguments: Sequence[str] | None) -> tuple[int, str]:
    """Exit status and message of a command; when it returns, the frames of a failed one and its bars are gone."""
    signals: list[int] = []
    with interruptible(signals):
        try:
            status = app(args=arguments, prog_name="faiglib", standalone_mode=False) or 0
        except (KeyboardInterrupt, typer.Abort):
            status = 128 + signal.SIGINT
        except SharedError as error:
            return 1, str(error) if os.environ.get("LOCAL_RANK", "0") == "0" else ""
        except FaiglibError as error:
            return 1, str(error)
        except OSError as error:
            return 1, f"{error.filename or 'input/output'}: {error.strerror or error}"
        except Exception as error:
            if out_of_memory(error):
                return 1, f"out of memory: {error}"
            if isinstance(error, _USAGE_ERROR):
                return 2, error.format_message()
            raise
    return (128 + signals[0], "interrupted") if signals else (status, "")
