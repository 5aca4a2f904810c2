"""What asks a process for an orderly stop. Only commands listen to it; embedded, nothing of the kind happens (D1)."""

from __future__ import annotations

import asyncio
import signal

STOPPING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)
"""SIGHUP comes when the terminal goes away. On Windows another program can send only SIGBREAK (Ctrl-Break)."""


def stop_on_signals(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Set an event at the first signal; the same one a second time ends the process at once."""
    event = asyncio.Event()

    def stop(number: int) -> None:
        if event.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        event.set()

    for number in STOPPING:
        if signal.getsignal(number) is signal.SIG_IGN:
            continue  # whoever started us wants that, as nohup does with SIGHUP
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(stop, got))
    return event
