"""Runs the product as a user does: commands in processes of their own, and HTTP."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from stream_app.local.processes.environment import environment_of
from stream_app.setting_variables import PREFIX
from tests.sample import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stream_app.settings import Settings

COMMAND = [sys.executable, "-m", "stream_app.cli.main"]


def run(
    *arguments: str, timeout: float = 150, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def broker_environment(settings: Settings) -> dict[str, str]:
    """Return the variables with which a command finds a broker and logs in to it."""
    names = ("KAFKA_", "PARTITIONS", "REPLICATION")
    variables = environment_of(settings, {})
    return {
        name: value
        for name, value in variables.items()
        if name.removeprefix(PREFIX).startswith(names)
    }


class Running:
    """A command that runs until it is stopped; `wait_for` waits for a line of its output."""

    def __init__(
        self,
        *arguments: str,
        command: Sequence[str] = COMMAND,
        folder: Path = ROOT,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str, timeout: float = 90) -> re.Match[str]:
        """Wait for a line that matches, and return the first match."""
        matches: list[re.Match[str]] = []

        def search() -> bool:
            matches[:] = [match for line in self.lines if (match := re.search(pattern, line))]
            return bool(matches) or self._ended

        with self._changed:
            self._changed.wait_for(search, timeout)
        assert matches, f"{pattern!r} was not printed:\n" + "\n".join(self.lines)
        return matches[0]

    def stop(self, number: int = signal.SIGTERM, timeout: float = 60) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout)
        self._listener.join(timeout)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def up(
    data_dir: Path, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[Running, str]:
    """Run `store-uptime up` until it is ready, and return it and the API's address."""
    running = Running(
        "up", "--data-dir", str(data_dir), "--api-port", "0", *arguments, environment=environment
    )
    return running, running.wait_for(r"^ready at (http://\S+)")[1]


class Http:
    """An HTTP client of the API."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def trigger(self, store_id: str, **body: Any) -> str:
        """Request a report, again after each 503, and return its id once it is accepted."""
        return await self._trigger(f"/trigger_report/{store_id}", body)

    async def trigger_fleet(self, body: dict[str, Any]) -> str:
        """Request a report of many stores in the same way, and return its id."""
        return await self._trigger("/trigger_report", body)

    async def _trigger(self, path: str, body: dict[str, Any]) -> str:
        while True:
            async with self._session.post(path, json=body or None) as response:
                if response.status == 202:
                    return str((await response.json())["report_id"])
                assert response.status == 503, await response.text()
                await asyncio.sleep(int(response.headers["Retry-After"]))

    async def get(self, report_id: str, accept: str = "text/csv") -> tuple[int, str]:
        """Return the status and the body of a report as it is now."""
        async with self._session.get(
            f"/get_report/{report_id}", headers={"Accept": accept}
        ) as response:
            return response.status, await response.text()

    async def wait_until_finished(self, report_id: str) -> tuple[int, str]:
        """Wait until a report is complete or failed, and return its status and body."""
        while (answer := await self.get(report_id))[0] == 202:  # noqa: ASYNC110  over HTTP
            await asyncio.sleep(0.02)
        return answer

    async def report_row(self, store_id: str, **body: Any) -> str:
        """Request a report, and return its CSV row."""
        status, text = await self.wait_until_finished(await self.trigger(store_id, **body))
        assert status == 200, text
        return text.splitlines()[1]
