"""The interface of all kinds of brokers: on Java, in Docker, or named in the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_app.local.processes.child import Supervised


@dataclass(frozen=True, slots=True)
class StartedBroker:
    """A broker that has been started, or that was running already, and answers.

    Attributes:
        bootstrap: HOST:PORT[,...] of its nodes.
        nodes: the number of nodes; 0 if it is unknown, as for a broker that somebody else runs.
        already_running: whether it ran before; if so, the process that started it also stops it.
    """

    bootstrap: str
    nodes: int
    already_running: bool


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """The state of a broker.

    Attributes:
        running: whether it answers.
        bootstrap: HOST:PORT[,...] of its nodes; empty if it was never started.
        detail: one line for a person.
    """

    running: bool
    bootstrap: str
    detail: str


class Broker(Protocol):
    """A broker that can be started and stopped."""

    @property
    def description(self) -> str:
        """Return the name for people, such as `Kafka 4.3.1 on Java 17`."""

    async def prepare(self, report: Callable[[str], None]) -> None:
        """Download what a start needs, so that the start itself needs no network.

        Args:
            report: gets one line for the person if something is downloaded.

        Raises:
            PrerequisiteError: something must be installed, or there is no network.
        """

    async def start(self, *, tied: bool = True) -> StartedBroker:
        """Start it, or find it running, and wait until it answers.

        Args:
            tied: whether it ends when this process dies; otherwise it runs until `stop()`.

        Raises:
            PrerequisiteError: something must be installed, or a port must be freed.
            BrokerUnavailableError: it does not come up.
        """

    async def stop(self) -> bool:
        """Stop it, and return True if it ran. Its data stays."""

    async def status(self) -> BrokerStatus:
        """Ask whether it runs and answers."""

    def supervised(self) -> Sequence[Supervised]:
        """List the processes that a supervisor has to keep running; Docker runs its own."""
