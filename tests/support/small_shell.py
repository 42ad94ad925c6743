"""Shell for one command, with job control: leads a session on a terminal.

    python small_shell.py DESCRIPTOR COMMAND ...

Writes the state of the command to the descriptor, a socket: `stopped N`, `exited N`
or `killed N`. A line from the socket resumes a stopped command.
"""

import fcntl
import os
import signal
import sys
import termios
from typing import NoReturn


def become_the_command() -> NoReturn:
    """Run the command in this process, in the foreground from the start.

    The child sets the foreground group itself: after a late call by the parent, the
    command could read as a background process and be stopped.
    """
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    for number in (signal.SIGTTOU, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - as a shell does


def main() -> None:
    """Run the command to its end; report each change of its state."""
    talk = os.fdopen(int(sys.argv[1]), "r+b", buffering=0)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    process_id = os.fork()
    if not process_id:
        become_the_command()
    while True:
        _, status = os.waitpid(process_id, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            os.tcsetpgrp(0, os.getpgrp())
            talk.write(b"stopped %d\n" % os.WSTOPSIG(status))
            talk.readline()
            os.tcsetpgrp(0, process_id)
            os.killpg(process_id, signal.SIGCONT)
        elif os.WIFSIGNALED(status):
            talk.write(b"killed %d\n" % os.WTERMSIG(status))
            return
        else:
            talk.write(b"exited %d\n" % os.WEXITSTATUS(status))
            return


if __name__ == "__main__":
    main()
