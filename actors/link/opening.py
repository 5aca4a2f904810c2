"""Why a session could not be opened, in the errors of CON-7."""

from __future__ import annotations

import errno
import socket

from actors.errors import (
    GatewayConnectionError,
    GatewayError,
    GatewayTimeoutError,
    NetworkUnreachableError,
)
from actors.messages.connection import OpenSession

UNREACHABLE = frozenset(
    number
    for name in ("ENETUNREACH", "EHOSTUNREACH", "EHOSTDOWN", "ENETDOWN", "ETIMEDOUT")
    if (number := getattr(errno, name, None)) is not None
) | {
    10050,
    10051,
    10060,
    10064,
    10065,
}  # the same on Windows


def open_failure(
    error: OSError | GatewayError, request: OpenSession, *, timed_out: bool
) -> GatewayError:
    """Choose the error of CON-7 for what went wrong; ``timed_out``: the deadline passed."""
    where = f"{request.host}:{request.port}"
    if isinstance(error, GatewayError):
        return error
    if timed_out:
        return GatewayTimeoutError(f"the gateway at {where} did not answer before the deadline")
    if isinstance(error, socket.gaierror):
        return NetworkUnreachableError(f"the host {request.host!r} is not known: {error}")
    if error.errno in UNREACHABLE:
        return NetworkUnreachableError(f"{where} cannot be reached: {error}")
    if isinstance(error, ConnectionRefusedError):
        return GatewayConnectionError(
            f"{where} refused the connection: is the gateway running, and its API port open?"
        )
    return GatewayConnectionError(f"the connection to {where} failed: {error}")
