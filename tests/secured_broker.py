"""Runs a Kafka that authenticates its clients by SCRAM or certificates, with ACLs for each user."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

from stream_app.contracts.access import ACCESS, Operation, Process
from stream_app.kafka.clients import connection
from stream_app.local.kafka.jars import fetch_jars
from stream_app.local.kafka.java import Java, find_java
from stream_app.local.kafka.node import Launch
from stream_app.local.processes.logged_process import spawn
from stream_app.local.processes.ports import free_ports
from stream_app.settings import Settings
from tests.certificates import Authority, Certificate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PROTOCOLS: Final = {
    "ADMIN": "PLAINTEXT",
    "CONTROLLER": "PLAINTEXT",
    "SCRAM_TLS": "SASL_SSL",
    "SCRAM": "SASL_PLAINTEXT",
    "MTLS": "SSL",
    "TLS": "SSL",
}
LISTENERS: Final = tuple(_PROTOCOLS)
"""The listeners: ADMIN allows everything without a login; SCRAM ends sessions after a while."""

SESSION_SECONDS: Final = 2
MECHANISM: Final = "SCRAM-SHA-512"

_ITERATIONS: Final = 4096
_MECHANISM_CODE: Final = 2
_ALLOW, _LITERAL, _PREFIXED = 3, 3, 4
_KINDS: Final = {"topic": 2, "group": 3, "transactional id": 5}
_OPERATIONS: Final = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
}


@dataclass(frozen=True)
class Right:
    """A line of an ACL: an operation that is allowed on a resource."""

    operation: Operation
    kind: str
    name: str

    @property
    def pattern(self) -> int:
        """Return the pattern type; a right on a transactional id covers all ids that begin so."""
        return _PREFIXED if self.kind == "transactional id" else _LITERAL


def rights_of(process: Process) -> list[Right]:
    """Return the rights of a process that the table in `docs/how-to/cluster.md` lists."""
    access = ACCESS[process]
    return [
        *(
            Right(operation, "topic", spec.name)
            for spec in access.topics
            for operation in access.operations(spec)
        ),
        *(Right(Operation.READ, "group", group) for group in access.groups),
        *(
            Right(Operation.WRITE, "transactional id", f"{spec.name}-")
            for spec in access.transactional
        ),
    ]


@dataclass
class SecuredBroker:
    """A broker with listeners of each security protocol.

    Attributes:
        folder: folder of all its files.
        ports: port of each listener.
        authority: authority that issued its certificate, and whose certificates it trusts.
        certificate: its certificate for 127.0.0.1.
    """

    folder: Path
    ports: dict[str, int]
    authority: Authority
    certificate: Certificate
    _process: Any = None
    _passwords: dict[str, Path] = field(default_factory=dict)

    # -- settings of its clients

    @property
    def admin(self) -> Settings:
        """Return the settings of a client that may do everything."""
        return Settings.from_environment(
            {}, kafka_bootstrap=self.address("ADMIN"), data_dir=self.folder / "admin", partitions=2
        )

    def address(self, listener: str) -> str:
        """Return HOST:PORT of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def environment(self, listener: str, **settings: object) -> dict[str, str]:
        """Return the variables of a process that uses a listener, without a user."""
        protocol = _PROTOCOLS[listener]
        variables: dict[str, object] = {
            "KAFKA_BOOTSTRAP": self.address(listener),
            "KAFKA_SECURITY_PROTOCOL": protocol,
            "PARTITIONS": 2,
        }
        if protocol.startswith("SASL"):
            variables["KAFKA_SASL_MECHANISM"] = MECHANISM
        if protocol.endswith("SSL"):
            variables["KAFKA_TLS_CA_FILE"] = self.authority.certificate
        return {f"STORE_UPTIME_{name}": str(text) for name, text in (variables | settings).items()}

    def user(self, name: str, listener: str = "SCRAM_TLS") -> dict[str, str]:
        """Return the variables of a process that logs in with a password from a file."""
        file = self.folder / f"{name}.password"
        file.write_text(f"{name}-geheim\n")
        return self.environment(listener, KAFKA_SASL_USERNAME=name, KAFKA_SASL_PASSWORD_FILE=file)

    def owner(self, name: str, password: str = "") -> dict[str, str]:
        """Return the variables of a process that has a client certificate."""
        own = self.authority.issue(name, password=password)
        variables = self.environment(
            "MTLS", KAFKA_TLS_CERT_FILE=own.certificate, KAFKA_TLS_KEY_FILE=own.key
        )
        if password:
            variables["STORE_UPTIME_KAFKA_TLS_KEY_PASSWORD"] = password
        return variables

    # -- actions of an administrator

    async def add_user(self, name: str) -> None:
        """Add a user with the password that `user` writes to a file."""
        salt = os.urandom(16)
        salted = hashlib.pbkdf2_hmac("sha512", f"{name}-geheim".encode(), salt, _ITERATIONS)
        await self._ask(_ScramRequest([], [(name, _MECHANISM_CODE, _ITERATIONS, salt, salted, {})]))

    async def remove_user(self, name: str) -> None:
        """Remove a user; a client that is logged in stays so until its session ends."""
        await self._ask(_ScramRequest([(name, _MECHANISM_CODE, {})], []))

    async def grant(self, principal: str, rights: Iterable[Right]) -> None:
        """Grant rights to a principal."""
        entries = [
            (
                _KINDS[right.kind],
                right.name,
                right.pattern,
                f"User:{principal}",
                "*",
                _OPERATIONS[right.operation],
                _ALLOW,
            )
            for right in rights
        ]
        await self._ask(_CreateAclsRequest(entries))

    async def revoke(self, principal: str, right: Right) -> None:
        """Revoke one right of a principal."""
        entry = (
            _KINDS[right.kind],
            right.name,
            right.pattern,
            f"User:{principal}",
            "*",
            _OPERATIONS[right.operation],
            _ALLOW,
        )
        await self._ask(_DeleteAclsRequest([entry]))

    async def _ask(self, request: Any) -> None:
        admin = AIOKafkaAdminClient(**connection(self.admin))
        await admin.start()
        try:
            client: Any = admin._client
            response = await client.send(client.get_random_node(), request)
        finally:
            await admin.close()
        for code, message, *_ in response.results:
            assert code == 0, (for_code(code), message)

    # -- its process

    async def start(self) -> None:
        """Format the storage if it is new, start the broker, and wait until it answers."""
        java = await find_java()
        assert isinstance(java, Java), java
        launch = Launch(java.program, await fetch_jars(self.admin.cache_dir), "384m", tied=True)
        properties = self.folder / "server.properties"
        if not properties.exists():
            properties.write_text(self._properties())
            # the output of the tool says nothing about the test, so it is discarded
            format_ = launch.command("kafka.tools.StorageTool", "format", "-t", "A" * 22)
            done = await asyncio.create_subprocess_exec(
                *format_, "-c", str(properties), cwd=self.folder, stdout=asyncio.subprocess.DEVNULL
            )
            assert await done.wait() == 0
        log = self.folder / "console.log"
        self._process = spawn(
            launch.command("kafka.Kafka", str(properties)), log=log, folder=self.folder
        )
        async with asyncio.timeout(120):
            while not await self._answers():
                assert self._process.poll() is None, log.read_text()
                await asyncio.sleep(0.2)

    async def _answers(self) -> bool:
        admin = AIOKafkaAdminClient(**connection(self.admin))
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except Exception:  # noqa: BLE001  any error means that the broker is not ready yet
            return False
        finally:
            await admin.close()

    async def stop(self) -> None:
        """Stop the broker, and wait until its process has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            while self._process.poll() is None:  # noqa: ASYNC110  another process
                await asyncio.sleep(0.05)

    def _properties(self) -> str:
        clients = [name for name in LISTENERS if name != "CONTROLLER"]
        keys = self.folder / "broker-keystore.pem"
        own = (self.certificate.key, self.certificate.certificate)
        keys.write_bytes(b"".join(path.read_bytes() for path in own))
        tls = {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": keys,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.authority.certificate,
            "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/,DEFAULT",
        }
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{self.address('CONTROLLER')}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "ADMIN",
            "listeners": ",".join(f"{name}://{self.address(name)}" for name in LISTENERS),
            "advertised.listeners": ",".join(f"{name}://{self.address(name)}" for name in clients),
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in _PROTOCOLS.items()
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "sasl.enabled.mechanisms": MECHANISM,
            "listener.name.scram_tls.scram-sha-512.sasl.jaas.config": login,
            "listener.name.scram.scram-sha-512.sasl.jaas.config": login,
            "listener.name.scram.connections.max.reauth.ms": SESSION_SECONDS * 1000,
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.scram_tls.ssl.client.auth": "none",
            "listener.name.tls.ssl.client.auth": "none",
            "log.dirs": "log",
            "auto.create.topics.enable": "false",
            "message.max.bytes": 9_000_000,
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 2,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 2,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            **tls,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def secured_broker(folder: Path) -> SecuredBroker:
    """Create a broker with certificates and free ports; it is not started yet."""
    authority = Authority(folder)
    ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
    return SecuredBroker(folder, ports, authority, authority.issue("broker", host="127.0.0.1"))


def settings_of(variables: dict[str, str], data_dir: Path) -> Settings:
    """Return the settings of a process that has these variables."""
    return Settings.from_environment(variables).replace(data_dir=data_dir)


# -- requests of an administrator, in aiokafka's notation


_ACL_FIELDS: Final = (
    ("resource_type", Int8),
    ("resource_name", String("utf-8")),
    ("pattern_type", Int8),
    ("principal", String("utf-8")),
    ("host", String("utf-8")),
    ("operation", Int8),
    ("permission_type", Int8),
)
_ACL: Final = Array(*_ACL_FIELDS)


class _CreateAclsResponse_v1(Response):  # noqa: N801
    API_KEY = 30
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("results", Array(("error_code", Int16), ("error_message", String("utf-8")))),
    )


class _CreateAclsRequest_v1(RequestStruct):  # noqa: N801
    API_KEY = 30
    API_VERSION = 1
    RESPONSE_TYPE = _CreateAclsResponse_v1
    SCHEMA = Schema(("creations", _ACL))


class _CreateAclsRequest(Request[_CreateAclsRequest_v1]):
    API_KEY = 30

    def __init__(self, entries: list[Any]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[_CreateAclsRequest_v1]) -> Any:
        return request_struct_class(self._entries)


class _DeleteAclsResponse_v1(Response):  # noqa: N801
    API_KEY = 31
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                (
                    "matching",
                    Array(
                        ("error_code", Int16),
                        ("error_message", String("utf-8")),
                        *_ACL_FIELDS,
                    ),
                ),
            ),
        ),
    )


class _DeleteAclsRequest_v1(RequestStruct):  # noqa: N801
    API_KEY = 31
    API_VERSION = 1
    RESPONSE_TYPE = _DeleteAclsResponse_v1
    SCHEMA = Schema(("filters", _ACL))


class _DeleteAclsRequest(Request[_DeleteAclsRequest_v1]):
    API_KEY = 31

    def __init__(self, entries: list[Any]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[_DeleteAclsRequest_v1]) -> Any:
        return request_struct_class(self._entries)


class _ScramResponse_v0(Response):  # noqa: N801
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "users",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )

    @property
    def results(self) -> list[tuple[int, str | None]]:
        """Return error code and message of each user, in the form of the other responses."""
        return [(code, message) for _, code, message, _ in self.users]


class _ScramRequest_v0(RequestStruct):  # noqa: N801
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _ScramResponse_v0
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _ScramRequest(Request[_ScramRequest_v0]):
    API_KEY = 51

    def __init__(self, deletions: list[Any], upsertions: list[Any]) -> None:
        self._deletions = deletions
        self._upsertions = upsertions

    def build(self, request_struct_class: type[_ScramRequest_v0]) -> Any:
        return request_struct_class(self._deletions, self._upsertions, {})
