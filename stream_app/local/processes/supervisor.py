"""Starts processes in order, restarts those that die or freeze, stops them in reverse order."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final

from stream_app.errors import PrerequisiteError, SettingsError, StoreUptimeError
from stream_app.local.processes.liveness import DEFAULT_LIVENESS, FailedProbes, Liveness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_app.local.processes.child import Supervised

NON_RETRYABLE_EXIT_CODES: Final = {
    SettingsError.exit_code: SettingsError,
    PrerequisiteError.exit_code: PrerequisiteError,
}
"""The exit codes after which a restart would fail in the same way, each with its error."""


class Supervisor:
    """Keeps child processes running.

    A child that ends is started again after a pause. The pause doubles each time up to
    `longest_pause`, and is `first_pause` again after the child has run for `steady_after`. A child
    that runs and answers no probes is killed, and then started again in the same way.

    Until `startup_complete()` is called, a child that ends because of wrong settings or a missing
    prerequisite is not started again, which could not help: `failure()` raises its error instead.

    Args:
        report: gets one line for the person.
        liveness: how often children are probed, and after how many failures they are killed.
        first_pause: seconds before the first new start.
        longest_pause: seconds of the longest pause before a new start.
        steady_after: seconds of running after which the next pause is short again.
    """

    def __init__(
        self,
        report: Callable[[str], None],
        *,
        liveness: Liveness = DEFAULT_LIVENESS,
        first_pause: float = 1.0,
        longest_pause: float = 30.0,
        steady_after: float = 60.0,
    ) -> None:
        self._report = report
        self._liveness = liveness
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._steady_after = steady_after
        self._startup_complete = False
        self._children: list[Supervised] = []
        self._exit_stack = AsyncExitStack()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def children(self) -> Sequence[Supervised]:
        """Return the processes that are kept running."""
        return self._children

    async def start(self, *children: Supervised) -> None:
        """Start children and keep them running until `stop()`, which stops them together.

        Raises:
            PrerequisiteError: one cannot be started at all.
        """
        # registered first, so that `stop()` ends the first child if the second cannot be started
        self._exit_stack.push_async_callback(_stop_together, children)
        for child in children:
            await child.start()
        self.watch(*children)

    def watch(self, *children: Supervised) -> None:
        """Keep children running that the caller has started and will stop."""
        self._children += children
        for child in children:
            task = asyncio.create_task(self._run_child(child), name=f"supervise {child.name}")
            self._exit_stack.push_async_callback(_cancel, task)
            if self._liveness.period_seconds:
                probes = asyncio.create_task(self._probe(child), name=f"probe {child.name}")
                self._exit_stack.push_async_callback(_cancel, probes)

    def startup_complete(self) -> None:
        """Start children again from now on, however they end."""
        self._startup_complete = True

    async def failure(self) -> None:
        """Wait until a child cannot be kept running, and raise its error.

        Raises:
            StoreUptimeError: with the child's name and the last line of its log.
        """
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Stop all started children, the last first, each within its own time limit."""
        # the exit stack goes on with its other steps if one of them fails
        await self._exit_stack.aclose()
        self._failure.cancel()

    async def _run_child(self, child: Supervised) -> None:
        try:
            await self._keep_running(child)
        except Exception as error:  # noqa: BLE001 - failure() raises it again
            self._fail(error)

    async def _probe(self, child: Supervised) -> None:
        clock = asyncio.get_running_loop().time
        period, threshold = self._liveness.period_seconds, self._liveness.failure_threshold
        failed = FailedProbes()
        while True:
            began = clock()
            pid = child.pid
            answered = None if pid is None else await child.answers(period)
            # the result is of no use if the process has ended meanwhile
            failed.add(pid if pid == child.pid else None, answered=answered)
            if failed.count >= threshold:
                self._report(
                    f"{child.name} runs and has not answered {failed.count} probes in a row "
                    f"({failed.count * period:g} s): it is killed; log: {child.log}"
                )
                await child.kill()
            await asyncio.sleep(max(0.0, began + period - clock()))

    async def _keep_running(self, child: Supervised) -> None:
        clock = asyncio.get_running_loop().time
        pause = self._first_pause
        while True:
            started = clock()
            code = await child.wait()
            if clock() - started >= self._steady_after:
                pause = self._first_pause
            ended = f"{child.name} ended ({describe_exit(code)})"
            # a process that is killed cannot log a reason
            reason = "" if code == -signal.SIGKILL else child.last_error_line()
            if reason:
                ended += f": {reason}"
            if code in NON_RETRYABLE_EXIT_CODES and not self._startup_complete:
                raise NON_RETRYABLE_EXIT_CODES[code](f"{ended}; log: {child.log}")
            self._report(f"{ended}; starting it again in {pause:g} s; log: {child.log}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._longest_pause)
            try:
                await child.start()
            except StoreUptimeError as error:
                if not self._startup_complete:
                    raise
                self._report(f"{child.name} cannot be started: {error}")

    def _fail(self, error: Exception) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)
            # reading it here keeps asyncio from logging it if nothing calls failure()
            self._failure.exception()


def describe_exit(code: int | None) -> str:
    """Describe how a process ended."""
    if code is None:
        return "its process is gone"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


async def _stop_together(children: tuple[Supervised, ...]) -> None:
    outcomes = await asyncio.gather(*(child.stop() for child in children), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
