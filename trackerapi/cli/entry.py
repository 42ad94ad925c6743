"""Where the command `trackerapi` begins: `run` in few steps, everything else in `cli`.

`run` stands before other people's commands, which should not start later for it: the
way to them loads next to nothing, neither a parser nor the library.
"""

import sys


def main() -> int:
    """Run the command; return its exit status."""
    arguments = sys.argv[1:]
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
