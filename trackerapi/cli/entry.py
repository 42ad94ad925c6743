"""Entry point of the command `trackerapi`.

For `trackerapi run`, the library is loaded after the start of the user's command, and
the command line is parsed without argparse: these imports would delay the command.
"""

import os
import sys


def main() -> int:
    """Run the command; return its exit status."""
    words = sys.argv[1:]
    # The completion script passes no words. A call with words runs its command, even
    # if the process has inherited the variables of the completion script.
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
    """Write the possible next words of a typed line, for the completion script."""
    try:
        from trackerapi.cli.completion_words import complete
    except ImportError:  # the extra `completion` is not installed
        return 1
    complete()  # exits the process
    return 0
