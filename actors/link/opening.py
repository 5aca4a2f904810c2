"""Why a session could not be opened, in the errors of CON-7."""

from __future__ import annotations

import errno
import socket

from actors import messages as m
from actors.errors import (
    ClientIDInUseError,
    GatewayAuthenticationError,
    GatewayConnectionError,
    GatewayError,
    GatewayTimeoutError,
    IncompatibleVersionError,
    NetworkUnreachableError,
)

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

_HANDSHAKE_ERRORS: dict[int, type[GatewayError]] = {
    326: ClientIDInUseError,
    501: GatewayConnectionError,
    502: GatewayConnectionError,
    503: IncompatibleVersionError,
    505: IncompatibleVersionError,
    506: IncompatibleVersionError,
    507: GatewayConnectionError,
    10141: GatewayAuthenticationError,
}
_LOGIN_WORDS = ("not logged in", "login", "log in", "authentication", "disclaimer")


def open_failure(
    error: OSError | GatewayError, request: m.OpenSession, *, timed_out: bool
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


def handshake_error(code: int, text: str) -> GatewayError | None:
    """Choose the error of CON-7 that a code means before the API is ready; None for a mere notice."""
    kind = _HANDSHAKE_ERRORS.get(code)
    if kind is None and any(word in text.lower() for word in _LOGIN_WORDS):
        kind = GatewayAuthenticationError
    return None if kind is None else kind(f"{text} (code {code})")


def handshake_failure(error: Exception) -> GatewayError:
    """Name what broke the connection before the API was ready."""
    if isinstance(error, GatewayConnectionError):
        return GatewayConnectionError(
            f"{error} before the API was ready: is this host trusted by the gateway, and the API enabled there?"
        )
    if isinstance(error, GatewayError):
        return error
    return GatewayConnectionError(f"the handshake failed: {error}")
