"""Run a command and end it by SIGKILL as it enters its N-th write-like system call.

The calls of all threads and processes of the command are counted together. The fault
injection of strace counts each thread separately, so it cannot reach the N-th call of
the command in a thread that makes fewer than N calls. Calls that open a file only for
reading are not counted. The call at which the command is killed is not executed. Linux
on x86-64 and AArch64 only.

Exit status: 0; the report contains the exit status of the command.
"""

import argparse
import ctypes
import errno
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PTRACE_TRACEME: Final = 0
PTRACE_SYSCALL: Final = 24
PTRACE_SETOPTIONS: Final = 0x4200
PTRACE_GET_SYSCALL_INFO: Final = 0x420E
OPTIONS: Final = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000
"""TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, TRACEEXEC, EXITKILL."""
WALL: Final = 0x40000000
SYSCALL_STOP: Final = signal.SIGTRAP | 0x80
ENTRY: Final = 1

WRITING_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CALLS: Final[Mapping[str, Mapping[int, str]]] = {
    "x86_64": {
        1: "write",
        2: "open",
        18: "pwrite64",
        20: "writev",
        26: "msync",
        40: "sendfile",
        44: "sendto",
        46: "sendmsg",
        73: "flock",
        74: "fsync",
        75: "fdatasync",
        76: "truncate",
        77: "ftruncate",
        82: "rename",
        83: "mkdir",
        84: "rmdir",
        86: "link",
        87: "unlink",
        90: "chmod",
        91: "fchmod",
        257: "openat",
        258: "mkdirat",
        263: "unlinkat",
        264: "renameat",
        265: "linkat",
        268: "fchmodat",
        285: "fallocate",
        296: "pwritev",
        316: "renameat2",
        326: "copy_file_range",
        328: "pwritev2",
    },
    "aarch64": {
        32: "flock",
        34: "mkdirat",
        35: "unlinkat",
        37: "linkat",
        38: "renameat",
        45: "truncate",
        46: "ftruncate",
        47: "fallocate",
        52: "fchmod",
        53: "fchmodat",
        56: "openat",
        64: "write",
        66: "writev",
        68: "pwrite64",
        70: "pwritev",
        71: "sendfile",
        82: "fsync",
        83: "fdatasync",
        206: "sendto",
        211: "sendmsg",
        227: "msync",
        276: "renameat2",
        285: "copy_file_range",
        287: "pwritev2",
    },
}
"""Write-like system calls, by number: other processes can see their effect."""


class _SyscallInfo(ctypes.Structure):
    """`struct ptrace_syscall_info` of Linux, at the entry of a system call."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


@dataclass(slots=True)
class Trace:
    """System calls and end of a traced command.

    Attributes:
        calls: Names of the write-like calls, in order; `+` marks a call of any thread
            or process except the first thread of the command.
        status: Exit status of the command; after a signal, its negative number.
        was_killed: Whether the command was killed at call `kill_at`.
    """

    calls: list[str] = field(default_factory=list)
    status: int | None = None
    was_killed: bool = False


def is_possible() -> bool:
    """Return whether `CALLS` has the system calls of this machine."""
    return sys.platform == "linux" and platform.machine() in CALLS


def trace(command: Sequence[str], kill_at: int | None = None) -> Trace:
    """Run `command` to its end.

    Args:
        command: Program and arguments.
        kill_at: Write-like call at which to kill the command, from 1; None for no kill.

    Raises:
        OSError: If this process may not trace other processes.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long,) * 2 + (ctypes.c_void_p,) * 2
    libc.ptrace.restype = ctypes.c_long
    child = os.fork()
    if child == 0:
        if libc.ptrace(PTRACE_TRACEME, 0, None, None) == 0:
            os.execvp(command[0], tuple(command))  # noqa: S606 - the caller's own command
        os._exit(126)
    if not os.WIFSTOPPED(os.waitpid(child, 0)[1]):
        raise OSError(errno.EPERM, "this process may not trace its children")
    return _Tracer(libc, child).run(kill_at)


class _Tracer:
    """Traces one command from its first stop, with all its threads and processes."""

    def __init__(self, libc: ctypes.CDLL, child: int) -> None:
        self._libc, self._child = libc, child
        self._names = CALLS[platform.machine()]
        self._seen = {child}
        self._info = _SyscallInfo()
        self._trace = Trace()

    def run(self, kill_at: int | None) -> Trace:
        self._libc.ptrace(PTRACE_SETOPTIONS, self._child, None, OPTIONS)
        self._resume(self._child, 0)
        for thread, status in self._stops():
            signal_number = os.WSTOPSIG(status)
            if signal_number == SYSCALL_STOP:
                self._record_call(thread)
                if len(self._trace.calls) == kill_at and not self._trace.was_killed:
                    self._trace.was_killed = True
                    self._kill_all()
                    continue
                signal_number = 0
            elif thread not in self._seen:
                self._seen.add(thread)  # A new thread begins with a stop.
                signal_number = 0
            elif status >> 16 or signal_number == signal.SIGTRAP:
                signal_number = 0  # The stop reports a fork, a thread or an exec.
            self._resume(thread, signal_number)
        return self._trace

    def _stops(self) -> Iterator[tuple[int, int]]:
        while True:
            try:
                thread, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                return
            if os.WIFSTOPPED(status):
                yield thread, status
                continue
            self._seen.discard(thread)
            if thread == self._child:
                self._trace.status = os.waitstatus_to_exitcode(status)

    def _kill_all(self) -> None:
        for thread in self._seen:
            with suppress(ProcessLookupError):
                os.kill(thread, signal.SIGKILL)

    def _resume(self, thread: int, signal_number: int) -> None:
        # Fails for a thread that was killed during its stop, which is harmless.
        self._libc.ptrace(PTRACE_SYSCALL, thread, None, signal_number)

    def _record_call(self, thread: int) -> None:
        """Add the call that a thread enters to the trace, if it is write-like."""
        size, info = ctypes.sizeof(self._info), self._info
        got = self._libc.ptrace(
            PTRACE_GET_SYSCALL_INFO, thread, size, ctypes.addressof(info)
        )
        name = self._names.get(info.number)
        if got <= 0 or info.op != ENTRY or name is None:
            return
        if name in {"open", "openat"}:
            flags = info.arguments[1 if name == "open" else 2]
            if not flags & WRITING_FLAGS:
                return
        self._trace.calls.append(name if thread == self._child else f"{name}+")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and write the report; return 0."""
    parser = argparse.ArgumentParser(prog="python -m scripts.proving.tracer")
    parser.add_argument("--kill-at", type=int, metavar="N")
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("command", nargs="+", help="command to run, after --")
    options = parser.parse_args(argv)
    done = trace(options.command, options.kill_at)
    report = {
        "calls": done.calls,
        "status": done.status,
        "was_killed": done.was_killed,
    }
    options.report.write_text(json.dumps(report), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
