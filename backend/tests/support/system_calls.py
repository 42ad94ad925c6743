"""Filter of system calls as a unit of systemd has it, for a process of a test."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Calls outside of the filter fail with EPERM, as with `SystemCallErrorNumber=EPERM`.
_LOAD = """
import ctypes, errno
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
fail, allow = 0x00050000 | errno.EPERM, 0x7FFF0000
calls = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(fail)))
for name in {names!r}:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        assert library.seccomp_rule_add(calls, ctypes.c_uint32(allow), number, 0) == 0
assert library.seccomp_load(calls) == 0
"""


def filter_prelude(systemd_analyze: str, filters: Sequence[str]) -> str:
    """Return Python code that allows the process only the system calls of a unit.

    Args:
        systemd_analyze: Path of the program, which knows the groups of system calls.
        filters: Values of `SystemCallFilter`: groups to allow, and `~` with groups to
            deny.
    """
    groups = _read_groups(systemd_analyze)
    allowed = _calls_of("@default", groups)
    for each in filters:
        names = each.removeprefix("~").split()
        calls = set().union(*(_calls_of(name, groups) for name in names))
        allowed = allowed - calls if each.startswith("~") else allowed | calls
    return _LOAD.format(names=sorted(allowed))


def _read_groups(systemd_analyze: str) -> dict[str, list[str]]:
    """Return the members of each group: system calls and other groups."""
    command = [systemd_analyze, "syscall-filter", "--no-pager"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    groups: dict[str, list[str]] = {}
    members: list[str] = []
    for line in text.splitlines():
        if line.startswith("@"):
            members = groups[line] = []
        elif line.startswith("    ") and "#" not in line:
            members.append(line.strip())
    return groups


def _calls_of(name: str, groups: dict[str, list[str]]) -> set[str]:
    if not name.startswith("@"):
        return {name}
    return set().union(*(_calls_of(each, groups) for each in groups[name]))
