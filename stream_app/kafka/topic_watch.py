"""Follows ids, partitions and settings of topics while a process runs; logs each change once."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream_app.contracts.access import ACCESS
from stream_app.contracts.fields import listed
from stream_app.contracts.topic_rules import PARTITIONS, partitions_differ
from stream_app.kafka.clients import connection, start, unavailable
from stream_app.kafka.rights import missing_elsewhere, missing_in_words, missing_on_topics
from stream_app.kafka.topic_check import TopicCheck, check_topics
from stream_app.kafka.topic_ids import find_topics
from stream_app.periodic import PeriodicTask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_app.contracts.access import Process
    from stream_app.kafka.rights import MissingRight
    from stream_app.kafka.topic_ids import TopicDescription
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

ASK_EVERY_SECONDS: Final = 2.0
"""Pause between two questions for ids and partitions."""

CHECK_EVERY_SECONDS: Final = 60.0
"""Time between two checks of the settings while nothing is wrong."""

RECHECK_SECONDS: Final = 5.0
"""Time between two checks while something is wrong: a process is ready soon after its repair."""

PATIENCE_SECONDS: Final = 10.0
"""Seconds after which a broker that does not answer is asked again later."""


class TopicWatch:
    """Follows the ids and the settings of the topics, and says what is wrong with them.

    Args:
        settings: how to reach the broker, and what the topics must be.
        process: the kind of process that uses the topics, groups and rights.
        on_topic_id: called with a topic's name, its id, and the id that it had before or None,
            when the id becomes known and whenever it changes.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        settings: Settings,
        process: Process,
        on_topic_id: Callable[[str, str, str | None], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._process = process
        self._specs = ACCESS[process].topics
        self._on_topic_id = on_topic_id
        self._monotonic = monotonic
        self._admin: Any = None
        self._ids: dict[str, str] = {}
        self._missing: list[str] = []
        self._check = TopicCheck()
        self._rights: list[MissingRight] = []
        self._checked_at = float("-inf")
        self._trouble: str | None = None
        self._task = PeriodicTask("topic-watch", ASK_EVERY_SECONDS, self._ask_in_time)

    @property
    def trouble(self) -> str | None:
        """Return one line about what is wrong and what to do; None if the topics are right."""
        return self._trouble

    async def start(self) -> None:
        """Connect, ask once, and go on asking.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        admin = AIOKafkaAdminClient(**connection(self._settings))
        await start(admin, self._settings)
        self._admin = admin
        # `ensure_topics` has just checked the settings
        self._checked_at = self._monotonic()
        try:
            await self.ask()
        except KafkaError as error:
            await self.stop()
            raise unavailable(self._settings, error) from error
        self._task.start()

    async def stop(self) -> None:
        """Stop asking and disconnect."""
        await self._task.stop()
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    async def ask(self) -> None:
        """Ask once, and log the changes.

        Raises:
            KafkaError: the broker did not answer.
        """
        seen = await find_topics(self._admin, [spec.name for spec in self._specs])
        topics = seen.existing
        missing = [
            spec.name
            for spec in self._specs
            if spec.name not in topics and spec.name not in seen.hidden
        ]
        anew = self._apply_ids(topics) or missing != self._missing
        self._missing = missing
        now = self._monotonic()
        pause = CHECK_EVERY_SECONDS if self._trouble is None else RECHECK_SECONDS
        if anew or now - self._checked_at >= pause:
            self._checked_at = now
            self._rights = await missing_elsewhere(self._admin, self._process)
            self._check = await check_topics(self._admin, self._settings, topics)
        self._check.wrong = [
            *(
                difference
                for spec in self._specs
                if (topic := topics.get(spec.name)) is not None
                and (difference := partitions_differ(spec, self._settings, topic.partitions))
            ),
            *(wrong for wrong in self._check.wrong if wrong.setting != PARTITIONS),
        ]
        rights = missing_on_topics(self._process, seen) + self._rights
        self._log_once(self._in_words(rights))

    def _apply_ids(self, topics: Mapping[str, TopicDescription]) -> bool:
        """Record the ids; return True if a topic was created again."""
        anew = False
        for name, topic in topics.items():
            before = self._ids.get(name)
            if topic.id is None or topic.id == before:
                continue
            self._ids[name] = topic.id
            if before is not None:
                anew = True
                log.warning("topic %s was deleted and made anew", name)
            self._on_topic_id(name, topic.id, before)
        return anew

    def _in_words(self, rights: list[MissingRight]) -> str | None:
        parts = []
        words = missing_in_words(rights, self._process, self._settings)
        if words is not None:
            parts.append(words[0].upper() + words[1:])
            # settings that may not be read are among them
            self._check.unreadable = []
        if self._missing:
            parts.append(
                f"Topics do not exist any more: {listed(self._missing)}. A worker or an API that "
                "starts makes them"
            )
        if self._check.trouble is not None:
            parts.append(self._check.trouble)
        return ". ".join(parts) or None

    def _log_once(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            if trouble is not None:
                log.error("%s", trouble)
            else:
                log.info("the topics are as they must be again")
            self._trouble = trouble

    async def _ask_in_time(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.ask()
        except (KafkaError, TimeoutError) as error:
            # BrokerMonitor logs once that the brokers are lost
            log.debug("the topics cannot be looked at now: %r", error)
