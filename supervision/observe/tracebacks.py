"""Tracebacks of what nobody caught, masked like everything else that leaves the process (OBS-4).

Only for a process that is nobody's guest: the hooks belong to the interpreter.
"""

from __future__ import annotations

import sys
import threading
import traceback
from types import TracebackType

from supervision.observe.masking import Masker


def mask_tracebacks(masker: Masker) -> None:
    """From now on print what nobody caught in any thread through ``masker``."""

    def show(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        print(masker.text(text), file=sys.stderr, end="", flush=True)  # noqa: T201 - the last words

    def show_of_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_type is not SystemExit:
            show(failed.exc_type, failed.exc_value, failed.exc_traceback)

    def show_of_finalizer(failed: sys.UnraisableHookArgs) -> None:
        show(failed.exc_type, failed.exc_value, failed.exc_traceback)

    sys.excepthook = show
    threading.excepthook = show_of_thread
    sys.unraisablehook = show_of_finalizer
