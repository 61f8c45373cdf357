"""One worker process: a Faust worker around `create_app`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import faust

from stream_app.app import create_app, wall_clock
from stream_app.kafka.admin import ensure_topics

if TYPE_CHECKING:
    from stream_app.settings import Settings

log = logging.getLogger(__name__)


def run(settings: Settings, name: str) -> None:
    """Run a worker until SIGTERM or Ctrl-C.

    Args:
        settings: with the broker resolved.
        name: of this worker's folder below the data dir; one running worker a name.

    Raises:
        SystemExit: 0 after a clean stop, 1 after a crash.
        BrokerUnavailableError: no broker answers at the start.
        PrerequisiteError: the topics are not as the settings say.
    """
    asyncio.run(ensure_topics(settings))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = create_app(settings, settings.data_dir / "workers" / name, wall_clock)
    worker = faust.Worker(
        app,
        loop=loop,
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
    )
    log.info("worker %s starts", name)
    worker.execute_from_commandline()
