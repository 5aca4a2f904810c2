"""The one import of ib_insync, guarded (D8): its event library wants an event loop while it is imported.

Up to Python 3.13 asyncio makes one for whoever asks in the main thread; from 3.14 on it raises instead, as it always
did in other threads. The import runs in a thread that has a loop of its own, so that whoever imports us, in whichever
thread, needs none and keeps the one that it has. Nothing of ours uses the loop that the library remembers from then.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from typing import Final

LIBRARY: Final = "ib_insync"


def load() -> None:
    """Import the library; raises what its import raised."""
    failed: list[BaseException] = []
    thread = threading.Thread(target=_load, args=(failed,), name="import-ib_insync", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _load(failed: list[BaseException]) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        importlib.import_module(LIBRARY)
    except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
        failed.append(error)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
