"""What an exception says and where it came from, as text for people."""

from __future__ import annotations

import traceback
from itertools import islice

from actors.kernel.errors import ActorFailedError

_FRAMES_AT_MOST = 50
_CAUSES_AT_MOST = 5


def presentable(error: BaseException) -> BaseException:
    """Give the exception back, or a stand-in when not even its text can be had: nothing may stop the report."""
    try:
        str(error)
    except BaseException as second:  # noqa: BLE001 - foreign code; the stand-in names it
        text = f"{type(error).__name__}, whose text raised {type(second).__name__}"
        return ActorFailedError(text).with_traceback(error.__traceback__)
    return error


def where_raised(error: BaseException) -> str:
    """List the frames of an exception and of its causes, outermost first, as ``file:line in function``.

    Without the source lines that `traceback.format_exception` reads: those cost more than starting a thread, and this
    runs between a crash and the restart.
    """
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < _CAUSES_AT_MOST:
        parts.append(_frames(current))
        current = current.__cause__ or current.__context__
    return "\n".join(reversed(parts))


def _frames(error: BaseException) -> str:
    frames = islice(traceback.walk_tb(error.__traceback__), _FRAMES_AT_MOST)
    lines = [
        f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}" for frame, line in frames
    ]
    return "\n".join([*lines, f"{type(error).__name__}: {presentable(error)}"])
