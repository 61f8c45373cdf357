"""Every error that this product raises on purpose.

StoreUptimeError                 message: one line that says what to do
├── SettingsError                a setting is wrong                     (exit 2)
├── PrerequisiteError            something to install or to free first  (exit 3)
├── BrokerUnavailableError       Kafka is out of reach                  (exit 4, HTTP 503)
├── RejectedRowsError            all rows of a file were rejected       (exit 5)
├── WorkersBehindError           the workers have more to apply first   (HTTP 503)
├── OverloadedError              too much is waiting for the broker    (HTTP 429)
├── TooManyStoresError           a store is new, and there are too many (HTTP 429)
├── PollTimeError                the broker's clock rejects a poll      (HTTP 422)
├── OverloadedReportsError       too many reports wait already          (HTTP 503)
├── StoreNotFoundError           no input names the store               (HTTP 404)
├── NoStatusPageError            no store is chosen for a status page   (HTTP 404)
├── ReportNotFoundError          no request names it, or it expired     (HTTP 404)
├── ReportConflictError          a report is not as a request needs it  (HTTP 409)
├── ReportContentLostError       a complete report has no content       (HTTP 500)
├── FatalError                   the process cannot go on               (the worker ends)
│   ├── TableError               the local database fails
│   └── TopicReplacedError       a topic was deleted and created again
├── RevokedError                 a partition is not open here any more  (its owner goes on)
├── RecordError                  a row or record cannot be accepted     (dead letter, HTTP 422)
└── ReportError                  a report cannot be made                (status failed)
"""

from __future__ import annotations

from collections.abc import Callable

OnFatalError = Callable[[BaseException], None]
"""Called with an error after which this worker must not go on; it begins the worker's end."""


class StoreUptimeError(Exception):
    """Root of the hierarchy; `str(error)` is one line meant for a person."""

    exit_code = 1


class SettingsError(StoreUptimeError):
    """A setting has a value that cannot be used."""

    exit_code = 2


class PrerequisiteError(StoreUptimeError):
    """The machine lacks something: a program, a free port, a writable folder."""

    exit_code = 3


class BrokerUnavailableError(StoreUptimeError):
    """No broker answered at the bootstrap addresses in time."""

    exit_code = 4


class RejectedRowsError(StoreUptimeError):
    """All rows of a file, or all hours of a store, were rejected: reports are not what was meant.

    Every good row was acknowledged all the same.
    """

    exit_code = 5


class WorkersBehindError(StoreUptimeError):
    """The answer depends on records that the workers have not applied yet."""


class OverloadedError(StoreUptimeError):
    """This process has as much in memory as it may: try again in a moment."""


class TooManyStoresError(StoreUptimeError):
    """A store is new, and there are as many as the settings allow: others go on."""


class PollTimeError(StoreUptimeError):
    """The time of a poll is rejected by the broker's clock: a worker writes its dead letter."""


class OverloadedReportsError(StoreUptimeError):
    """The greatest allowed number of reports is pending or running: try again in a moment."""


class StoreNotFoundError(StoreUptimeError):
    """The store, or one of the stores, has no poll, no business hours and no timezone."""


class NoStatusPageError(StoreUptimeError):
    """The settings choose no store for the status page, so there is none."""


class ReportNotFoundError(StoreUptimeError):
    """No request names the report, or the report has expired."""


class ReportConflictError(StoreUptimeError):
    """A report is not in the state that a request needs."""


class ReportContentLostError(StoreUptimeError):
    """A complete report has no content any more: its result expired before its status did."""


class FatalError(StoreUptimeError):
    """The worker must end: records in flight stay unacknowledged and are delivered again."""


class TableError(FatalError):
    """A partition's local database cannot be read or written, or is not what its changelog says."""


class RevokedError(StoreUptimeError):
    """A partition was revoked: this worker reads and writes nothing of it any more."""


class TopicReplacedError(FatalError):
    """A topic that a worker reads was deleted and created again, so its old offsets mean nothing.

    The worker that starts next reads the new topic from the beginning.
    """


class RecordError(StoreUptimeError):
    """A row or a record cannot be accepted; `str(error)` is the reason a dead letter carries."""


class ReportError(StoreUptimeError):
    """A report cannot be made; `str(error)` is the reason of the failed report."""
