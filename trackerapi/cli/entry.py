"""Entry point of the command `trackerapi`.

`run` loads neither a parser nor the library before it starts the command of the user: a
command must not start later because `trackerapi run` stands before it.
"""

import os
import sys


def main() -> int:
    """Run the command; return its exit status."""
    arguments = sys.argv[1:]
    if "_ARGCOMPLETE" in os.environ:
        return _complete()
    if arguments[:1] == ["run"]:
        from trackerapi.cli.run import arguments as order

        try:
            wanted = order.read(arguments[1:])
        except order.Misuse as mistake:
            order.complain(mistake)
            return order.USAGE
        if wanted is not None:  # help is told by the parser of all commands
            from trackerapi.cli.run.run import run

            return run(wanted)
    from trackerapi.cli.main import main as others

    return others(arguments)


def _complete() -> int:
    """Write the words that can follow a typed line; called by the script of a shell."""
    try:
        from trackerapi.cli.completion_words import complete
    except ImportError:  # the extra `completion` is not installed
        return 1
    complete()  # exits the process
    return 0
