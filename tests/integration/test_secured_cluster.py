"""The product on a Kafka with logins and ACLs, with exactly the rights of the table."""

from __future__ import annotations

import asyncio
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from stream_app.contracts.access import Operation, Process
from stream_app.contracts.topics import STORE_STATUS, STORES
from stream_app.errors import BrokerUnavailableError, PrerequisiteError
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.diagnosis import why_unusable
from tests.certificates import Authority
from tests.e2e.product import Http, Running, run
from tests.secured_broker import Right, SecuredBroker, rights_of, secured_broker, settings_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path


pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

STORE = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
POLL = {"status": "active", "timestamp_utc": "2024-01-01T10:00:00Z"}


@pytest.fixture(scope="module")
def broker(
    tmp_path_factory: pytest.TempPathFactory, _no_settings_from_outside: None
) -> Iterator[SecuredBroker]:
    """Start a broker on which an administrator has created all topics."""
    broker = secured_broker(tmp_path_factory.mktemp("secured"))

    async def start() -> None:
        await broker.start()
        await ensure_topics(broker.admin)
        await broker.add_user("ann")

    asyncio.run(start())
    yield broker
    asyncio.run(broker.stop())


async def wait_for(condition: Callable[[], Awaitable[Any]], seconds: float = 90.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (result := await condition()):  # noqa: ASYNC110  other processes
            await asyncio.sleep(0.2)
        return result


async def readiness(address: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/readyz") as answer:
        return answer.status, (await answer.json(content_type=None)).get("detail", "")


async def wait_until_ready(address: str) -> None:
    async def is_ready() -> bool:
        return (await readiness(address))[0] == 200

    await wait_for(is_ready)


async def wait_for_reason(address: str, words: str) -> None:
    async def names_it() -> bool:
        status, detail = await readiness(address)
        return status == 503 and words in detail

    await wait_for(names_it)


async def post(address: str, store_id: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{address}/stores/{store_id}/status", json=POLL) as answer,
    ):
        return answer.status


def api(environment: Mapping[str, str], folder: Path) -> tuple[Running, str]:
    """Start an API process, and return it and the address that it logs."""
    running = Running("api", "--data-dir", str(folder), "--api-port", "0", environment=environment)
    return running, running.wait_for(r"listening on (http://\S+)")[1]


# -- exactly the rights of the table

_WRITES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/status", [{"store_id": OTHER, **POLL}]),
    ("PUT", f"/stores/{STORE}/business_hours", {"hours": [[0, "09:00", "17:00"]]}),
    ("PUT", f"/stores/{STORE}/timezone", {"timezone_str": "America/Chicago"}),
    ("POST", f"/trigger_report/{STORE}", {"webhook": {"url": "https://hooks.example.com/x"}}),
    ("POST", "/trigger_report", {}),
    ("DELETE", f"/stores/{OTHER}", None),
)
"""All HTTP requests on which the API writes to Kafka."""


async def _users(broker: SecuredBroker) -> dict[Process, dict[str, str]]:
    """Make one user for each process, who has the rights of the process and no other."""
    users = {Process.WORKER: broker.owner("worker", password="geheim")}  # noqa: S106  of a test
    await broker.grant("worker", rights_of(Process.WORKER))
    for process, name in (
        (Process.API_WITH_WEBHOOKS, "api-webhooks"),
        (Process.REPLAY, "replay"),
        (Process.SIMULATE, "simulate"),
        (Process.LIST_DEAD_LETTERS, "lister"),
        (Process.REPLAY_DEAD_LETTERS, "mender"),
        (Process.EXPLAIN, "explainer"),
    ):
        users[process] = broker.user(name)
        await broker.add_user(name)
        await broker.grant(name, rights_of(process))
    return users


async def test_the_main_job_with_one_user_a_process(broker: SecuredBroker, tmp_path: Path) -> None:
    users = await _users(broker)
    webhooks = {
        "STORE_UPTIME_WEBHOOK_HOSTS": "hooks.example.com",
        "STORE_UPTIME_WEBHOOK_SECRET": "whsec_" + "AAAA" * 8,
    }
    serving, address = api(users[Process.API_WITH_WEBHOOKS] | webhooks, tmp_path / "api")
    working = Running(
        "worker", "--data-dir", str(tmp_path / "worker"), environment=users[Process.WORKER]
    )

    async def command(process: Process, *arguments: str) -> str:
        more = {"STORE_UPTIME_DATA_DIR": str(tmp_path / "command")}
        done = await asyncio.to_thread(run, *arguments, environment=users[process] | more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with serving, working:
        await wait_until_ready(address)
        polls, hours = tmp_path / "polls.csv", tmp_path / "hours.csv"
        polls.write_text(f"store_id,status,timestamp_utc\n{STORE},active,2024-01-01 10:00:00 UTC\n")
        hours.write_text(f"store_id,dayOfWeek,start_time_local,end_time_local\n{STORE},0,x,y\n")
        replayed = await asyncio.to_thread(
            run,
            *("replay", "--status", str(polls), "--hours", str(hours)),
            environment=users[Process.REPLAY],
        )
        assert "rejected" in replayed.stdout + replayed.stderr
        await command(
            Process.SIMULATE,
            *("simulate", "--stores", "2", "--rate", "2", "--duration", "2s"),
            *("--via", "kafka", "--register"),
        )
        assert await post(address, STORE) == 202
        for method, path, body in _WRITES:
            async with (
                aiohttp.ClientSession() as session,
                session.request(method, f"{address}{path}", json=body) as answer,
            ):
                assert answer.status == 202, (path, await answer.text())
        async with Http(address) as http:
            report = await http.trigger(STORE)
            status, text = await http.wait_until_finished(report)
            assert status == 200, text
        assert STORE in (await asyncio.to_thread(run, "report", STORE, "--api", address)).stdout
        await command(Process.EXPLAIN, "explain", report, "--api", address)

        listed = json.loads(
            await command(Process.LIST_DEAD_LETTERS, "dead-letters", "list", "--format", "json")
        )
        mended = tmp_path / "mended"
        mended.write_text(f"{STORE},0,09:00,17:00")
        await command(
            Process.REPLAY_DEAD_LETTERS,
            *("dead-letters", "replay", str(listed[0]["id"]), "--set-value", str(mended)),
        )
        assert (await readiness(address))[0] == 200
        workers_address = (tmp_path / "worker/workers/worker-1/http-address").read_text()
        await wait_until_ready(workers_address)
        assert serving.stop() == 0
        assert working.stop() == 0
    output = "\n".join(serving.lines + working.lines)
    assert "uthorization" not in output


@pytest.mark.parametrize("process", Process)
async def test_each_right_of_the_table_is_needed_and_named_when_it_is_missing(
    broker: SecuredBroker, process: Process, tmp_path: Path
) -> None:
    """The rights of a process are revoked one after the other, and each start names the right."""
    user = f"row-{process.name.lower()}"
    await broker.add_user(user)
    rights = rights_of(process)
    await broker.grant(user, rights)
    settings = settings_of(broker.user(user), tmp_path)

    async def allowed() -> bool:
        try:
            return await ensure_topics(settings, process) == 0
        except PrerequisiteError:
            return False

    async def refused_for(right: Right) -> bool:
        try:
            await ensure_topics(settings, process)
        except PrerequisiteError as error:
            pattern = f"{right.operation} on {right.kind}s? [^;]*{re.escape(right.name)}"
            words = f"let user {user} do what `{process}` needs"
            return words in str(error) and re.search(pattern, str(error)) is not None
        return False

    await wait_for(allowed)
    for right in rights:
        await broker.revoke(user, right)
        await wait_for(partial(refused_for, right))
        await broker.grant(user, [right])
        await wait_for(allowed)


# -- the reasons why a broker cannot be used


def with_settings(variables: dict[str, str], **settings: object) -> dict[str, str]:
    more = {f"STORE_UPTIME_{name}": str(text) for name, text in settings.items() if text}
    removed = {f"STORE_UPTIME_{name}" for name, text in settings.items() if not text}
    return {name: text for name, text in (variables | more).items() if name not in removed}


async def reason(variables: dict[str, str], folder: Path) -> str:
    with pytest.raises(BrokerUnavailableError) as refused:
        await ensure_topics(settings_of(variables, folder), Process.LIST_DEAD_LETTERS)
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_each_reason_has_its_own_line(broker: SecuredBroker, tmp_path: Path) -> None:
    ann, plain = broker.user("ann"), broker.environment("ADMIN")
    login, tls = broker.user("ann", "SCRAM"), broker.environment("TLS")
    nobody = broker.user("nobody")
    wrong = with_settings(ann, KAFKA_SASL_PASSWORD_FILE=broker.folder / "nobody.password")
    others = Authority(tmp_path, "others")
    foreign = others.issue("foreign")
    own = {"KAFKA_TLS_CERT_FILE": foreign.certificate, "KAFKA_TLS_KEY_FILE": foreign.key}
    ports = {name: broker.address(name) for name in broker.ports}
    port = broker.ports["SCRAM_TLS"]
    cases: list[tuple[dict[str, str], str]] = [
        (wrong, "does not let user ann in: the password is wrong, or there is no such user"),
        (nobody, "does not let user nobody in: the password is wrong"),
        (with_settings(ann, KAFKA_TLS_CA_FILE=others.certificate), "is of an authority that"),
        (with_settings(ann, KAFKA_TLS_CA_FILE=None), "that the system's authorities does not hold"),
        (
            with_settings(ann, KAFKA_BOOTSTRAP=f"localhost:{port}"),
            "is for another name than localhost: name the broker",
        ),
        (
            with_settings(ann, KAFKA_BOOTSTRAP="127.0.0.1:1"),
            "no Kafka broker answers at 127.0.0.1:1",
        ),
        (with_settings(ann, KAFKA_BOOTSTRAP="no.invalid:9092"), "the name no.invalid is not known"),
        (with_settings(ann, KAFKA_BOOTSTRAP="a..b:9092"), "no Kafka broker answers at a..b:9092"),
        (
            with_settings(wrong, KAFKA_BOOTSTRAP=f"127.0.0.1:1,{ports['SCRAM_TLS']}"),
            "let user ann in",
        ),
        (with_settings(plain, KAFKA_BOOTSTRAP=ports["TLS"]), "speaks TLS only"),
        (with_settings(plain, KAFKA_BOOTSTRAP=ports["SCRAM_TLS"]), "speaks TLS only"),
        (with_settings(plain, KAFKA_BOOTSTRAP=ports["SCRAM"]), "say SASL_SSL or SASL_PLAINTEXT"),
        (with_settings(plain, KAFKA_BOOTSTRAP=ports["CONTROLLER"]), "takes no clients"),
        (with_settings(tls, KAFKA_BOOTSTRAP=ports["ADMIN"]), "speaks no TLS"),
        (with_settings(tls, KAFKA_BOOTSTRAP=ports["SCRAM_TLS"]), "say SASL_SSL or SASL_PLAINTEXT"),
        (with_settings(ann, KAFKA_BOOTSTRAP=ports["SCRAM"]), "speaks no TLS"),
        (
            with_settings(ann, KAFKA_BOOTSTRAP=ports["TLS"]),
            "takes no login on this port: say SSL in",
        ),
        (
            with_settings(login, KAFKA_BOOTSTRAP=ports["ADMIN"]),
            "takes no login on this port: say PLAINT",
        ),
        (with_settings(login, KAFKA_BOOTSTRAP=ports["SCRAM_TLS"]), "speaks TLS only"),
        (with_settings(ann, KAFKA_SASL_MECHANISM="PLAIN"), "to one of SCRAM-SHA-512"),
        (
            with_settings(ann, KAFKA_SASL_MECHANISM="SCRAM-SHA-256"),
            "takes no SASL mechanism SCRAM-SHA-256",
        ),
        (with_settings(tls, KAFKA_BOOTSTRAP=ports["MTLS"]), "it may want a client certificate"),
        (broker.environment("MTLS", **own), "does not take the certificate"),
    ]
    for variables, words in cases:
        assert words in await reason(variables, tmp_path), variables


async def test_a_port_on_which_no_broker_listens(broker: SecuredBroker, tmp_path: Path) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for talk in (web, silent):
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            settings = settings_of(
                with_settings(broker.environment("ADMIN"), KAFKA_BOOTSTRAP=address), tmp_path
            )
            explanation = await why_unusable(settings, {"security_protocol": "PLAINTEXT"})
            assert explanation is not None
            assert f"what listens at {address} is no Kafka broker" in explanation.text


@pytest.mark.parametrize(
    "command",
    [
        ("worker",),
        ("dead-letters", "list"),
        ("replay", "--status", "POLLS"),
        ("simulate", "--via", "kafka", "--stores", "1", "--duration", "1s"),
    ],
    ids=lambda command: command[0],
)
async def test_commands_name_the_reason_in_one_line(
    broker: SecuredBroker, tmp_path: Path, command: tuple[str, ...]
) -> None:
    polls = tmp_path / "polls.csv"
    polls.write_text(f"store_id,status,timestamp_utc\n{STORE},active,2024-01-01 10:00:00 UTC\n")
    arguments = [str(polls) if part == "POLLS" else part for part in command]
    await broker.add_user("bare")
    cases = {
        "the password is wrong, or there is no such user": (broker.user("nobody"), 4),
        "do what `": (broker.user("bare"), 3),
        "is of an authority that": (with_settings(broker.user("ann"), KAFKA_TLS_CA_FILE=None), 4),
        "no Kafka broker answers at 127.0.0.1:1": (
            with_settings(broker.user("ann"), KAFKA_BOOTSTRAP="127.0.0.1:1"),
            4,
        ),
    }
    for words, (variables, code) in cases.items():
        done = await asyncio.to_thread(
            run, *arguments, environment={**variables, "STORE_UPTIME_DATA_DIR": str(tmp_path)}
        )
        ours = [line for line in done.stderr.splitlines() if line.startswith("store-uptime: ")]
        assert len(ours) == 1, done.stderr
        assert words in ours[0]
        assert done.returncode == code
        assert "Traceback" not in done.stderr


async def test_the_api_names_the_reason_and_is_ready_once_it_is_mended(
    broker: SecuredBroker, tmp_path: Path
) -> None:
    running, address = api(broker.user("late"), tmp_path)
    with running:
        await wait_for_reason(address, "does not let user late in: the password is wrong")
        await broker.add_user("late")
        await wait_for_reason(address, "let user late do what `api` needs: grant ")
        await broker.grant("late", rights_of(Process.API))
        # the rights are complete now, and no worker runs
        await wait_for_reason(address, "no worker")
        assert running.stop() == 0


# -- changes while the product runs


async def test_a_user_and_a_right_are_removed_while_the_product_runs(
    broker: SecuredBroker, tmp_path: Path
) -> None:
    """The listener ends each session after two seconds, so that clients log in again."""
    for user, process in (("live-api", Process.API), ("live-worker", Process.WORKER)):
        await broker.add_user(user)
        await broker.grant(user, rights_of(process))
    serving, address = api(broker.user("live-api", "SCRAM"), tmp_path / "api")
    working = Running(
        "worker",
        "--data-dir",
        str(tmp_path / "worker"),
        environment=broker.user("live-worker", "SCRAM"),
    )
    with serving, working:
        await wait_until_ready(address)
        address_file = tmp_path / "worker/workers/worker-1/http-address"
        workers = address_file.read_text()
        await wait_until_ready(workers)

        for user, own in (("live-api", address), ("live-worker", workers)):
            await broker.remove_user(user)
            await wait_for_reason(own, f"does not let user {user} in: the password is wrong")
            await broker.add_user(user)
            await wait_until_ready(own)

        for user, own, right in (
            ("live-api", address, Right(Operation.READ, "topic", STORES.name)),
            ("live-worker", workers, Right(Operation.WRITE, "topic", STORES.name)),
        ):
            await broker.revoke(user, right)
            await wait_for_reason(own, f"grant {right.operation} on topic {STORES.name}")
            await broker.grant(user, [right])
            await wait_until_ready(own)

        right = Right(Operation.WRITE, "topic", STORE_STATUS.name)
        await broker.revoke("live-api", right)
        await wait_for_reason(address, f"grant Write on topic {STORE_STATUS.name}")
        assert await post(address, OTHER) == 503
        await broker.grant("live-api", [right])
        await wait_until_ready(address)
        assert await post(address, OTHER) == 202
