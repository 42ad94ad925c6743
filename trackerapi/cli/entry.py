"""Entry point of the command `trackerapi`.

`trackerapi run` starts the user's command before it loads the library, and reads its
command line without argparse: imports would delay the command.
"""

import os
import sys


def main() -> int:
    """Run the command; return its exit status."""
    words = sys.argv[1:]
    # The completion script passes no words. With words, a variable that a process has
    # inherited must not keep a command from running.
    if not words and {"_ARGCOMPLETE", "COMP_LINE"} <= os.environ.keys():
        return _complete()
    if words[:1] == ["run"]:
        from trackerapi.cli.run import arguments

        try:
            run_arguments = arguments.read(words[1:])
        except arguments.RunUsageError as error:
            arguments.print_usage_error(error)
            return arguments.USAGE
        if run_arguments is not None:  # None: argparse prints the help
            from trackerapi.cli.run.run import run

            return run(run_arguments)
    from trackerapi.cli.main import main as run_command

    return run_command(words)


def _complete() -> int:
    """Write the possible next words of a typed line; called by the shell script."""
    try:
        from trackerapi.cli.completion_words import complete
    except ImportError:  # the extra `completion` is not installed
        return 1
    complete()  # exits the process
    return 0
