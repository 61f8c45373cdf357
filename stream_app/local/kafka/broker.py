"""The interface of all kinds of brokers: on Java, in Docker, or named in the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_app.local.processes.child import Supervised


@dataclass(frozen=True, slots=True)
class Started:
    """A broker that answers.

    Attributes:
        bootstrap: HOST:PORT[,...] of its nodes.
        nodes: how many there are; 0 where that is not ours to know.
        already_running: it ran before, so it is stopped by the process that started it.
    """

    bootstrap: str
    nodes: int
    already_running: bool


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """The state of a broker.

    Attributes:
        running: it answers.
        bootstrap: HOST:PORT[,...] of its nodes; empty where it was never started.
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
        """Fetch what a start needs; after it a start needs no network.

        Args:
            report: takes one line for the person where something is fetched.

        Raises:
            PrerequisiteError: something to install, or no network.
        """

    async def start(self, *, tied: bool = True) -> Started:
        """Start it, or find it running, and wait until it answers.

        Args:
            tied: it ends when this process dies; otherwise it goes on until `stop()`.

        Raises:
            PrerequisiteError: something to install or to free first.
            BrokerUnavailableError: it does not come up.
        """

    async def stop(self) -> bool:
        """Stop it; True if something ran. The data stays."""

    async def status(self) -> BrokerStatus:
        """Ask whether it runs and answers."""

    def supervised(self) -> Sequence[Supervised]:
        """List its processes, for a supervisor that keeps them running; none where others do."""
