"""The errors of the kernel itself, and how an error travels in a message.

The trade's errors stand on these, in `actors.kernel.errors`, where the whole tree is drawn.
"""

from __future__ import annotations

from typing import ClassVar

import attrs


class GatewayError(Exception):
    """Anything this product raises on purpose; ``code`` is stable, ``retryable`` says whether to try again."""

    code: ClassVar[str] = "IB_GW_000"
    retryable: ClassVar[bool] = False


class GatewayTimeoutError(GatewayError, TimeoutError):
    """The deadline of the request passed before its answer came."""

    code = "IB_CONN_003"
    retryable = True


class SupervisionError(GatewayError):
    """The tree of actors could not serve."""

    code = "IB_SUP_000"


class ActorFailedError(SupervisionError):
    """The actor failed while it handled the message, and was restarted."""

    code = "IB_SUP_001"
    retryable = True


class MailboxFullError(SupervisionError):
    """The mailbox is at its bound."""

    code = "IB_SUP_002"
    retryable = True


class SupersededError(BaseException):
    """An incarnation that was replaced tried to act.

    It is a fence, no error of the trade: a `BaseException`, so that no ``except GatewayError`` and no
    ``except Exception`` on its way out can swallow it, and whatever the incarnation was doing ends here.
    """

    code = "IB_SUP_003"


class UnknownMessageError(SupervisionError):
    """The actor has no handler for that message."""

    code = "IB_SUP_004"


class GatewayStoppedError(SupervisionError):
    """The tree has stopped; a new one has to be started."""

    code = "IB_SUP_005"


@attrs.frozen(kw_only=True)
class ErrorInfo:
    """An error as plain data, so that it can travel in a message and be raised again at the other end."""

    kind: str
    text: str
    code: str = GatewayError.code
    retryable: bool = False


def describe(error: BaseException) -> ErrorInfo:
    """Turn an exception into plain data. What is not ours keeps its type's name in ``kind``."""
    text = str(error) or type(error).__name__
    if isinstance(error, GatewayError):
        return ErrorInfo(
            kind=type(error).__name__, text=text, code=error.code, retryable=error.retryable
        )
    return ErrorInfo(kind=type(error).__name__, text=text)


def restore(info: ErrorInfo) -> GatewayError:
    """Turn plain data back into an exception; a foreign kind comes back as `ActorFailedError`."""
    kind = _tree(GatewayError).get(info.kind)  # read late: the trade's errors stand elsewhere
    if kind is None:
        return ActorFailedError(f"{info.kind}: {info.text}")
    return kind(info.text)


def _tree(root: type[GatewayError]) -> dict[str, type[GatewayError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found
