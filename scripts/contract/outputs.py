"""Checked-in generated files: comparison with fresh files, and replacement.

The folders contain only generated files: any other file in them is a difference. A
replacement is complete, or leaves the work tree unchanged. SIGINT, SIGTERM and SIGHUP
take effect after the replacement.
"""

import difflib
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.project import BACKEND_SHAPES_PATH, PROVENANCE_PATH, SCHEMAS_PATH

OUTPUTS = (Path("generated_client"), BACKEND_SHAPES_PATH, SCHEMAS_PATH, PROVENANCE_PATH)
IGNORED_FOLDER = "__pycache__"
DIFF_LINES_PER_FILE = 20
DIFF_LINES_IN_ALL = 120


@dataclass(frozen=True, slots=True)
class Difference:
    """A checked-in file that differs from its fresh output.

    Attributes:
        path: Path of the file, relative to the work tree.
        fault: `edited or stale`, `missing` or `extra`.
        diff: Difference to the fresh output, as unified diff lines.
    """

    path: Path
    fault: str
    diff: Sequence[str] = ()


def differences(fresh: Path, root: Path) -> list[Difference]:
    """Return the generated files in `root` that differ from `fresh`."""
    found: list[Difference] = []
    for output in OUTPUTS:
        wanted, present = set(_files(fresh, output)), set(_files(root, output))
        for path in sorted(wanted | present):
            if path not in present:
                found.append(Difference(path, "missing"))
            elif path not in wanted:
                found.append(Difference(path, "extra"))
            elif (fresh / path).read_bytes() != (root / path).read_bytes():
                diff = _diff(path, root / path, fresh / path)
                found.append(Difference(path, "edited or stale", diff))
    return found


def report(found: Sequence[Difference]) -> str:
    """Return the differences as text of bounded length."""
    lines = [f"{each.fault}: {each.path}" for each in found]
    diff_lines: list[str] = []
    for each in found:
        diff_lines.extend(_bounded(each.diff, DIFF_LINES_PER_FILE))
    return "\n".join((*lines, *_bounded(diff_lines, DIFF_LINES_IN_ALL)))


def replace(fresh: Path, root: Path, attic: Path, paths: Sequence[Path]) -> None:
    """Replace `paths` below `root` by `paths` below `fresh`.

    Args:
        fresh: Folder of the new files; on the same file system as `root`.
        root: Work tree; unchanged if a file cannot be moved.
        attic: Folder for the replaced files; must not exist.
        paths: Files and folders, relative to both.

    Raises:
        OSError: If a file cannot be moved.
    """
    done: list[Path] = []
    with _signals_deferred():
        try:
            for path in paths:
                done.append(path)
                _move(root / path, attic / path)
                _move(fresh / path, root / path)
        except OSError:
            for path in reversed(done):
                _restore(attic / path, root / path)
            raise


def _move(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)


def _restore(kept: Path, place: Path) -> None:
    if not kept.exists():
        return
    if place.is_dir():
        shutil.rmtree(place)
    kept.replace(place)


@contextmanager
def _signals_deferred() -> Iterator[None]:
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _files(root: Path, output: Path) -> Iterator[Path]:
    top = root / output
    if top.is_file():
        yield output
    for path in top.rglob("*"):
        inside = path.relative_to(root)
        if IGNORED_FOLDER not in inside.parts and not path.is_dir():
            yield inside


def _diff(path: Path, present: Path, wanted: Path) -> Sequence[str]:
    old, new = (
        each.read_text(encoding="utf-8", errors="replace").splitlines()
        for each in (present, wanted)
    )
    return list(
        difflib.unified_diff(
            old, new, f"{path} (is)", f"{path} (made afresh)", "", "", 1, ""
        )
    )


def _bounded(lines: Sequence[str], count: int) -> Sequence[str]:
    if len(lines) <= count:
        return lines
    return [*lines[:count], f"... and {len(lines) - count} lines more"]
