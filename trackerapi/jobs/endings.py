"""Endings of blocks, and the two texts of a failure.

The event of a failure has two texts. The customer reads a neutral sentence, or a text
from the author of the script. Only the provider reads the diagnosis, such as a
traceback.
"""

import sys
from typing import Final, Literal

from trackerapi.arguments import MAX_DETAIL_LENGTH, check_text

Ending = Literal["succeeded", "interrupted", "cancelled", "failed"]

CUT_OFF: Final[frozenset[Ending]] = frozenset({"interrupted", "cancelled"})
"""Endings of work that was stopped before its end."""

STEP_FAILED: Final = "This step could not be completed."
"""Text for the customer about a failed step, unless the script gives its own text."""

STEP_CUT_OFF: Final = "The step was cancelled, and the job went on."
"""Text for the provider about a cancelled step of a job that was not cancelled."""

JOB_FAILED: Final = "The job could not be completed."
"""Text for the customer about a failed job, unless the script gives its own text."""

_SEVERITY: Final[dict[Ending, int]] = {
    "succeeded": 0,
    "interrupted": 1,
    "cancelled": 1,
    "failed": 2,
}
_SIGTERM_STATUS: Final = 143
"""Exit status after SIGTERM in shells: 128 + 15."""

_KEPT_BEGIN: Final = 4_000
_CUT: Final = "\n[...]\n"


def ending_of(
    error: BaseException | None,
    *,
    is_stopped: bool = False,
    has_received_sigterm: bool = False,
) -> Ending:
    """Return the ending of a block.

    Args:
        error: Exception that left the block; None without an exception.
        is_stopped: Whether SIGTERM is ending the process.
        has_received_sigterm: Whether the process has received SIGTERM, also if the
            script's own handler let the block continue. Such a handler may later cancel
            the task of an event loop or exit with status 143; both count as
            interrupted.
    """
    if error is None:
        return "succeeded"
    if is_stopped:
        return "interrupted"
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        return "cancelled"
    if isinstance(error, SystemExit):
        if has_received_sigterm and error.code == _SIGTERM_STATUS:
            return "interrupted"
        return "failed" if error.code else "succeeded"
    # Without an event loop, asyncio may not be loaded; while another thread imports the
    # module, it is incomplete. In both cases, `error` is not from asyncio.
    cancelled = getattr(sys.modules.get("asyncio"), "CancelledError", ())
    if not isinstance(error, cancelled):
        return "failed"
    return "interrupted" if has_received_sigterm else "cancelled"


def worse_of(
    one: BaseException | None, other: BaseException | None
) -> BaseException | None:
    """Return the exception that decides the ending of a step with two blocks.

    A failure takes precedence over a cancellation or interruption, which both take
    precedence over a success. Of two equal endings, the first takes precedence.
    """
    return max(one, other, key=lambda error: _SEVERITY[ending_of(error)])


def identity_of(error: BaseException | None) -> tuple[object, ...]:
    """Return a value that identifies an exception without keeping it alive.

    The value contains the `id()` of the exception and the instruction that raised it.
    The `id()` alone is ambiguous: Python may reuse it for a later exception.
    """
    at = error.__traceback__ if error is not None else None
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return (id(error), at.tb_frame.f_code, at.tb_lasti) if at else (id(error),)


def diagnosis(error: BaseException | str | None) -> str | None:
    """Return the text for the provider about a failure: traceback, or the given text.

    A text of more than 16,000 characters loses its middle.
    """
    if error is None or isinstance(error, str):
        return shorten(error) if error else None
    import traceback

    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except Exception:  # noqa: BLE001 - the author's __str__ or __repr__ may raise anything
        text = f"{type(error).__name__} (it cannot be shown as text)"
    return shorten(text)


def shorten(text: str) -> str:
    """Return a diagnosis of at most 16,000 characters; a longer one loses its middle.

    The middle is the least useful part: the begin of a traceback names the line of the
    script, and the end names the exception.
    """
    if len(text) <= MAX_DETAIL_LENGTH:
        return text
    kept_end = MAX_DETAIL_LENGTH - _KEPT_BEGIN - len(_CUT)
    return f"{text[:_KEPT_BEGIN]}{_CUT}{text[-kept_end:]}"


def brief(error: BaseException | str | None) -> str:
    """Return one line about a failure: type and message, or the given text."""
    if not isinstance(error, BaseException):
        return error or "no reason given"
    try:
        words = str(error).partition("\n")[0]
    except Exception:  # noqa: BLE001 - as above
        words = ""
    name = type(error).__name__
    return f"{name}: {words}" if words else name


def join_values(text: str | None, values: dict[str, object]) -> str | None:
    """Return a text with named values below it, one per line.

    Returns:
        The lines as one text; None without text and values.

    Raises:
        TypeError: If `text` is not text.
    """
    text = check_text("text", text, MAX_DETAIL_LENGTH)
    lines = [text] if text else []
    for name, value in values.items():
        try:
            lines.append(f"{name}: {value}")
        except Exception:  # noqa: BLE001 - as above
            lines.append(f"{name}: {type(value).__name__} (it cannot be shown as text)")
    return "\n".join(lines) or None


class ShortRepr:
    """Wrapper that shows the `repr()` of a value, cut after 1,000 characters."""

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def __str__(self) -> str:
        return repr(self._thing)[:1_000]
