"""Every error that the product raises, as one tree.

::

    GatewayError                          anything this product raises on purpose
    ├── GatewayConnectionError            IB_CONN_001 r  the link is lost or was refused (also a ConnectionError)
    │   ├── ClientIDInUseError            IB_CONN_002 r  another session holds the client id
    │   ├── NetworkUnreachableError       IB_CONN_004 r  the host cannot be reached at all
    │   └── GatewayNotConnectedError      IB_CONN_007 r  the call needs a connection and there is none
    ├── GatewayTimeoutError               IB_CONN_003 r  the deadline passed (also a TimeoutError)
    ├── GatewayAuthenticationError        IB_CONN_005    the gateway is not logged in, or refuses this client
    ├── IncompatibleVersionError          IB_CONN_006    the gateway speaks a version that we do not
    ├── CircuitBreakerOpenError           IB_CONN_008 r  too many failures in a row; the breaker rests
    ├── TooManyLinksError                 IB_CONN_009    an eleventh link in one process
    ├── AnotherAccountError               IB_CONN_010    the gateway has another account than the one that is traded
    ├── ModeError                         IB_MODE_001    this execution mode does not allow the call
    │   ├── LiveTradingBlockedError       IB_MODE_002    live trading was asked for
    │   ├── NotPaperAccountError          IB_MODE_003    paper mode met an account that is not a paper account
    │   └── ReadOnlyError                 IB_MODE_004    orders are refused on a read-only connection
    ├── AlphaLearningViolationError       IB_ALPHA_001   one of the five alpha learnings would be broken
    │   └── SnapshotModeViolationError    IB_ALPHA_002   a quote was asked for without snapshot=True
    ├── ContractQualificationError        IB_DATA_001    no contract, or more than one, fits the description
    ├── InsufficientDataError             IB_DATA_002 r  fewer bars than the indicators need
    ├── MarketDataUnavailableError        IB_DATA_003 r  the gateway has no data for the symbol, with its reason
    │   ├── NotSubscribedError            IB_DATA_005    the account has no right to the data (354, 10089, 10168 …)
    │   ├── CompetingSessionError         IB_DATA_006 r  another session of the same user holds the data (10197)
    │   └── FeedError                     IB_FEED_000 r  the second source of market data has none
    │       ├── FeedUnreachableError      IB_FEED_001 r  no connection to it, or one that broke
    │       ├── FeedTimeoutError          IB_FEED_002 r  it did not answer in full within its time
    │       ├── FeedServerError           IB_FEED_003 r  it answered that it is broken (5xx)
    │       ├── FeedRateLimitError        IB_FEED_004 r  its limit of requests, kept by us or told by it
    │       │   └── FeedDailyLimitError   IB_FEED_008 r  it says that the limit of the day is reached
    │       ├── FeedRefusedError          IB_FEED_005    it refuses the key, the call or the plan
    │       ├── FeedReplyError            IB_FEED_006    its answer is not what it documents
    │       └── FeedSymbolError           IB_FEED_007    it does not know the symbol
    ├── HistoryPacingError                IB_DATA_004 r  IB's pacing of history would hold it back beyond its deadline
    ├── OrderValidationError              IB_ORDER_001   an order's field is invalid (also a ValueError)
    │   └── RequestValidationError        IB_REQ_001     an argument of a call or a command is none
    ├── OrderNotFoundError                IB_ORDER_002   no order has that id
    ├── PositionNotFoundError             IB_POS_001     no position has that id
    ├── MarketClosedError                 IB_POS_002     the position cannot be closed before its market opens
    ├── OutcomeUnknownError               IB_ORDER_003   an order passed the gate and its fate must be asked for
    ├── LatchedError                      IB_RISK_001    Strategy C is latched; an operator has to re-arm
    ├── ConfigurationError                IB_CONF_001    the configuration has faults (also a ValueError)
    ├── JournalLockedError                IB_CONF_002    another process holds the journal
    ├── JournalError                      IB_CONF_003    the journal cannot be opened, read or written
    │   └── WriterReplacedError           IB_CONF_004    a later incarnation of the writer, or of the journal, has begun
    ├── RecordsError                      IB_DB_001 r    the database of connection records does not serve
    │   ├── RecordNotFoundError           IB_DB_002      no session with that id is recorded
    │   └── InvalidRecordError            IB_DB_003      a record's field is invalid (also a ValueError)
    ├── PublishError                      IB_PUB_001 r   what quotes are published to does not serve
    ├── IllegalTransitionError            IB_CODE_001    a state machine was asked for a step its table lacks
    └── SupervisionError                  IB_SUP_000     the tree of actors could not serve
        ├── ActorFailedError              IB_SUP_001 r   the actor failed while it handled the message
        ├── MailboxFullError              IB_SUP_002 r   the mailbox is at its bound
        ├── UnknownMessageError           IB_SUP_004     the actor has no handler for that message
        └── GatewayStoppedError           IB_SUP_005     the tree has stopped

`SupersededError` (IB_SUP_003) stands outside: it is a fence, which no ``except GatewayError`` may swallow.
The kernel raises some of these by itself (`actors.kernel.errors`); they are exported from here with the others.

``r`` marks what is worth trying again (``retryable``). Callers branch on the type, never on the text.
"""

from __future__ import annotations

from actors.kernel.errors import ActorFailedError as ActorFailedError
from actors.kernel.errors import ErrorInfo as ErrorInfo
from actors.kernel.errors import GatewayError as GatewayError
from actors.kernel.errors import GatewayStoppedError as GatewayStoppedError
from actors.kernel.errors import GatewayTimeoutError as GatewayTimeoutError
from actors.kernel.errors import MailboxFullError as MailboxFullError
from actors.kernel.errors import SupersededError as SupersededError
from actors.kernel.errors import SupervisionError as SupervisionError
from actors.kernel.errors import UnknownMessageError as UnknownMessageError
from actors.kernel.errors import describe as describe
from actors.kernel.errors import restore as restore


class GatewayConnectionError(GatewayError, ConnectionError):
    """The link is lost, or the gateway refused it."""

    code = "IB_CONN_001"
    retryable = True


class ClientIDInUseError(GatewayConnectionError):
    """Another session holds the client id (IB's error 326)."""

    code = "IB_CONN_002"


class NetworkUnreachableError(GatewayConnectionError):
    """The host cannot be reached: no route, or a name that does not resolve."""

    code = "IB_CONN_004"


class GatewayAuthenticationError(GatewayError):
    """The gateway is not logged in, or refuses this client."""

    code = "IB_CONN_005"


class IncompatibleVersionError(GatewayError):
    """The gateway speaks a protocol version that we do not."""

    code = "IB_CONN_006"


class GatewayNotConnectedError(GatewayConnectionError):
    """The call needs a connection, and there is none."""

    code = "IB_CONN_007"


class CircuitBreakerOpenError(GatewayError):
    """Too many attempts failed in a row; the breaker rests before the next one."""

    code = "IB_CONN_008"
    retryable = True


class TooManyLinksError(GatewayError):
    """One process may hold ten links; this would be one more."""

    code = "IB_CONN_009"


class AnotherAccountError(GatewayError):
    """The gateway manages another account than this state directory trades (`account switch` changes that)."""

    code = "IB_CONN_010"


class ModeError(GatewayError):
    """The execution mode, or a feature flag, does not allow the call."""

    code = "IB_MODE_001"


class LiveTradingBlockedError(ModeError):
    """Live trading was asked for; it is blocked by construction."""

    code = "IB_MODE_002"


class NotPaperAccountError(ModeError):
    """Paper mode met an account that is not a paper account."""

    code = "IB_MODE_003"


class ReadOnlyError(ModeError):
    """Orders are refused on a read-only connection."""

    code = "IB_MODE_004"


class AlphaLearningViolationError(GatewayError):
    """One of the five alpha learnings would be broken."""

    code = "IB_ALPHA_001"


class SnapshotModeViolationError(AlphaLearningViolationError):
    """A quote was asked for without ``snapshot=True``."""

    code = "IB_ALPHA_002"


class ContractQualificationError(GatewayError):
    """No contract, or more than one, fits the description."""

    code = "IB_DATA_001"


class InsufficientDataError(GatewayError):
    """There are fewer bars than the indicators need."""

    code = "IB_DATA_002"
    retryable = True


class MarketDataUnavailableError(GatewayError):
    """The gateway has no data for the symbol; the text carries its reason."""

    code = "IB_DATA_003"
    retryable = True


class NotSubscribedError(MarketDataUnavailableError):
    """The account has no right to this data; asking again changes nothing before somebody subscribes."""

    code = "IB_DATA_005"
    retryable = False


class CompetingSessionError(MarketDataUnavailableError):
    """Another session of the same user holds the market data, until it ends."""

    code = "IB_DATA_006"


class FeedError(MarketDataUnavailableError):
    """The second source of market data has none; the text says why, and never holds the key."""

    code = "IB_FEED_000"


class FeedUnreachableError(FeedError):
    """There is no connection to the second source, or it broke: name, route, TLS, protocol."""

    code = "IB_FEED_001"


class FeedTimeoutError(FeedError):
    """The second source did not answer in full within its time."""

    code = "IB_FEED_002"


class FeedServerError(FeedError):
    """The second source answered that it is broken (HTTP 5xx)."""

    code = "IB_FEED_003"


class FeedRateLimitError(FeedError):
    """The limit of requests to the second source is reached, as we count it or as it says."""

    code = "IB_FEED_004"


class FeedDailyLimitError(FeedRateLimitError):
    """The second source says that the limit of the day is reached."""

    code = "IB_FEED_008"


class FeedRefusedError(FeedError):
    """The second source refuses the key, the call or the plan; asking again changes nothing."""

    code = "IB_FEED_005"
    retryable = False


class FeedReplyError(FeedError):
    """The second source answered something that it does not document; nothing of it is used."""

    code = "IB_FEED_006"
    retryable = False


class FeedSymbolError(FeedError):
    """The second source does not know the symbol."""

    code = "IB_FEED_007"
    retryable = False


class HistoryPacingError(GatewayError):
    """IB's rules on requests of history would hold this one back beyond its deadline; the text names rule and wait."""

    code = "IB_DATA_004"
    retryable = True


class OrderValidationError(GatewayError, ValueError):
    """A field of the order is invalid; the text names the field, its value and the limit."""

    code = "IB_ORDER_001"


class RequestValidationError(OrderValidationError):
    """An argument of a call, or of a command, is none; the text names it, what it was, and what it may be (GW-14)."""

    code = "IB_REQ_001"


class OrderNotFoundError(GatewayError):
    """No order has that id."""

    code = "IB_ORDER_002"


class OutcomeUnknownError(GatewayError):
    """An order passed the gate, then something failed: its fate has to be asked for, never assumed."""

    code = "IB_ORDER_003"


class PositionNotFoundError(GatewayError):
    """No position has that id."""

    code = "IB_POS_001"


class MarketClosedError(GatewayError):
    """The position cannot be closed before its market opens; nothing was sent."""

    code = "IB_POS_002"


class LatchedError(GatewayError):
    """Strategy C is latched: nothing may be opened until an operator re-arms."""

    code = "IB_RISK_001"


class ConfigurationError(GatewayError, ValueError):
    """The configuration has faults; the text lists every one."""

    code = "IB_CONF_001"


class JournalLockedError(GatewayError):
    """Another process holds the journal."""

    code = "IB_CONF_002"


class JournalError(GatewayError):
    """The journal cannot be opened, read or written; the text names the file and a remedy."""

    code = "IB_CONF_003"


class WriterReplacedError(JournalError):
    """A later incarnation of the writer, or of the journal itself, has begun: what the earlier one says is not kept."""

    code = "IB_CONF_004"


class RecordsError(GatewayError):
    """The database of connection records cannot be reached, read or written; the text says where and why."""

    code = "IB_DB_001"
    retryable = True


class RecordNotFoundError(RecordsError):
    """No session with that id is recorded."""

    code = "IB_DB_002"
    retryable = False


class InvalidRecordError(RecordsError, ValueError):
    """A field of a record is invalid; the text names the field, its bounds and its value."""

    code = "IB_DB_003"
    retryable = False


class PublishError(GatewayError):
    """What quotes are published to cannot be reached or written; the text says why."""

    code = "IB_PUB_001"
    retryable = True


class IllegalTransitionError(GatewayError):
    """A state machine was asked for a step that its table lacks: a defect of ours."""

    code = "IB_CODE_001"
