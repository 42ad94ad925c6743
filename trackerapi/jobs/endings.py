"""Meaning of the end of a block, and the two texts of a failure.

The customer reads a neutral sentence or the author's own. The provider alone reads the
diagnosis. The two texts are in separate fields.
"""

import sys
from typing import Final, Literal

from trackerapi.arguments import LONGEST_DETAIL

Ending = Literal["succeeded", "interrupted", "cancelled", "failed"]

CUT_OFF: Final[frozenset[Ending]] = frozenset({"interrupted", "cancelled"})
"""Endings of work that was neither finished nor failed."""

STEP_FAILED: Final = "This step could not be completed."
"""What the customer reads of a failed step when the author says nothing."""

STEP_CUT_OFF: Final = "The step was cancelled, and the job went on."
"""What the provider reads of a step that was cancelled alone."""

JOB_FAILED: Final = "The job could not be completed."
"""What the customer reads of a failed job when the author says nothing."""

_BADNESS: Final[dict[Ending, int]] = {
    "succeeded": 0,
    "interrupted": 1,
    "cancelled": 1,
    "failed": 2,
}
_SIGTERM_STATUS: Final = 143
"""128 + SIGTERM; the number is the same everywhere."""

_KEPT_BEGIN: Final = 4_000
_CUT: Final = "\n[...]\n"


def ending_of(
    error: BaseException | None,
    *,
    is_stopped: bool = False,
    has_heard_sigterm: bool = False,
) -> Ending:
    """Return how a block has ended.

    Args:
        error: The exception that left the block; None without one.
        is_stopped: Whether SIGTERM has asked the process to end meanwhile.
        has_heard_sigterm: The same, where a handler of the author's let the block go
            on; such a handler of an event loop cancels a task a moment later, and
            others have the script exit with the status that shells give to SIGTERM.
    """
    if error is None:
        return "succeeded"
    if is_stopped:
        return "interrupted"
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        return "cancelled"
    if isinstance(error, SystemExit):
        if has_heard_sigterm and error.code == _SIGTERM_STATUS:
            return "interrupted"
        return "failed" if error.code else "succeeded"
    # Without an event loop nobody has loaded asyncio, and none of its errors is here;
    # or another thread is at it just now.
    cancelled = getattr(sys.modules.get("asyncio"), "CancelledError", ())
    if not isinstance(error, cancelled):
        return "failed"
    return "interrupted" if has_heard_sigterm else "cancelled"


def worse_of(
    one: BaseException | None, other: BaseException | None
) -> BaseException | None:
    """Return the exception of two blocks that decides how their step ended.

    A failure wins over a cancellation, and a cancellation over success; of two of the
    same kind, the first wins.
    """
    return max(one, other, key=lambda error: _BADNESS[ending_of(error)])


def identity_of(error: BaseException | None) -> tuple[object, ...]:
    """Return a value that identifies an exception without keeping it alive.

    The `id()` alone does not: a later exception may have the same one. So the value
    includes the place where the exception was raised.
    """
    at = error.__traceback__ if error is not None else None
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return (id(error), at.tb_frame.f_code, at.tb_lasti) if at else (id(error),)


def diagnosis(error: BaseException | str | None) -> str | None:
    """Return what the provider reads of a failure: the traceback, or the text given.

    A long one loses its middle.
    """
    if error is None or isinstance(error, str):
        return shortened(error) if error else None
    import traceback

    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except Exception:  # noqa: BLE001 - the author's __str__ or __repr__ may raise anything
        text = f"{type(error).__name__} (it cannot be shown as text)"
    return shortened(text)


def shortened(text: str) -> str:
    """Return a diagnosis of at most the contract's length, without its middle.

    The begin of a traceback names the script's own line, the end the exception.
    """
    if len(text) <= LONGEST_DETAIL:
        return text
    kept_end = LONGEST_DETAIL - _KEPT_BEGIN - len(_CUT)
    return f"{text[:_KEPT_BEGIN]}{_CUT}{text[-kept_end:]}"


def brief(error: BaseException | str | None) -> str:
    """Return a failure in one line."""
    if not isinstance(error, BaseException):
        return error or "no reason given"
    try:
        words = str(error).partition("\n")[0]
    except Exception:  # noqa: BLE001 - as above
        words = ""
    name = type(error).__name__
    return f"{name}: {words}" if words else name


def listed(text: str | None, values: dict[str, object]) -> str | None:
    """Return a text for the provider with named values below it, a line each."""
    lines = [text] if text else []
    for name, value in values.items():
        try:
            lines.append(f"{name}: {value}")
        except Exception:  # noqa: BLE001 - as above
            lines.append(f"{name}: {type(value).__name__} (it cannot be shown as text)")
    return "\n".join(lines) or None


class Shown:
    """Shows a thing by its `repr()`."""

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def __str__(self) -> str:
        return repr(self._thing)[:1_000]
