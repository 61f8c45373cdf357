"""Every setting, once: name, default, meaning; read from the environment.

A setting `x` is the variable `STORE_UPTIME_X`. Durations are microseconds inside and
`90s`, `15m`, `1h`, `7d` or a sum such as `1h30m` outside. A secret `y` may also stand in a file
that `STORE_UPTIME_Y_FILE` names.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytz

from stream_app.authority import LOOPBACK, Authority, ip_of, parse_authority
from stream_app.domain.identifiers import canonical_uuid
from stream_app.domain.timestamps import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    WEEK,
    format_instant,
    parse_instant,
)
from stream_app.durations import format_duration, is_duration, parse_duration
from stream_app.errors import RecordError, SettingsError
from stream_app.secret_files import ENDING, read_secret
from stream_app.service_links import is_address, is_service_link, service_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX: Final = "STORE_UPTIME_"

_LINK_HINT: Final = (
    "; if Kubernetes made it of a service, write the setting into the pod's env, or say "
    "`enableServiceLinks: false` there"
)

KAFKA_PREFIX: Final = f"{PREFIX}KAFKA_PREFIX"
"""The one setting that is read before the others: see `contracts/names.py`."""

MAX_PUBLIC_STORES: Final = 200
"""On one status page."""


def _duration(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        duration = parse_duration(text)
        if not minimum <= duration <= maximum:
            raise ValueError(f"not in {format_duration(minimum)} to {format_duration(maximum)}")
        return duration

    return parse


def _interval(text: str) -> int:
    return 0 if text.strip() == "0" else _duration(0, DAY)(text)


def _whole(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError("not a whole number") from None
        if not minimum <= number <= maximum:
            raise ValueError(f"not in {minimum} to {maximum}")
        return number

    return parse


def _choice(*names: str, upper: bool = False) -> Callable[[str], str]:
    def parse(text: str) -> str:
        name = text.strip().upper() if upper else text.strip().lower()
        if name not in names:
            raise ValueError(f"not one of {', '.join(names)}")
        return name

    return parse


def _zone(text: str) -> str:
    if text not in pytz.all_timezones_set:
        raise ValueError("not an IANA zone name such as America/Chicago")
    return text


def _bootstrap(text: str) -> str:
    addresses = [part.strip() for part in text.split(",") if part.strip()]
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{address!r} is not HOST:PORT")
    return ",".join(addresses)


def named_stores(text: str) -> dict[str, str]:
    """Names by store id of `ID=NAME,ID,...`; one without a name is called by its id.

    Raises:
        ValueError: not such a text.
    """
    named: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        told, _, name = part.partition("=")
        store_id = canonical_uuid(told)
        if store_id is None:
            raise ValueError(f"{told.strip()[:60]!r} is not a store id, which is a UUID")
        if store_id in named:
            raise ValueError(f"store {store_id} is named twice")
        named[store_id] = name.strip() or store_id
    if len(named) > MAX_PUBLIC_STORES:
        raise ValueError(f"{len(named)} stores, more than {MAX_PUBLIC_STORES}")
    return named


_NAME_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,100}")


def _name_prefix(text: str) -> str:
    if not _NAME_PREFIX.fullmatch(text):
        raise ValueError("more than 100 characters, or others than letters, digits and . _ -")
    if text.startswith("__"):
        raise ValueError("begins as Kafka's own topics do")
    return text


def _named_stores(text: str) -> str:
    return ",".join(f"{store_id}={name}" for store_id, name in named_stores(text).items())


def _host(text: str) -> str:
    host = text.strip()
    if not host:
        # an empty host would listen on every address of the machine
        raise ValueError("is empty; 0.0.0.0 listens on every address")
    name = parse_authority(host)
    if ip_of(host) is None and (name is None or name.port is not None or host.startswith("[")):
        raise ValueError(f"{host[:60]!r} is neither the name of a host nor an address")
    return host


def api_names(text: str) -> tuple[Authority, ...]:
    """The hosts of `NAME,NAME:PORT,...`; one without a port stands for all ports.

    Raises:
        ValueError: not such a text.
    """
    names = []
    for part in text.split(","):
        if not part.strip():
            continue
        name = parse_authority(part.strip())
        if name is None or name.port == 0:
            raise ValueError(
                f"{part.strip()[:60]!r} is not NAME, NAME:PORT or an address ([...] for IPv6)"
            )
        names.append(name)
    return tuple(names)


def _api_names(text: str) -> str:
    return ",".join(map(str, api_names(text)))


def _path(text: str) -> Path:
    if not text.strip():
        raise ValueError("is empty; . is the current folder")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def _optional_path(text: str) -> Path | None:
    return _path(text) if text else None


_WEBHOOK_HOST: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)


def _webhook_hosts(text: str) -> str:
    hosts = [part.strip().lower() for part in text.split(",") if part.strip()]
    for host in hosts:
        match = _WEBHOOK_HOST.fullmatch(host)
        if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
            raise ValueError(
                f"{host!r} is not HOST, HOST:PORT, *.DOMAIN, https://HOST:PORT or http://HOST:PORT"
            )
        if "*" in match["host"] and (match["scheme"] or "." not in match["host"][2:]):
            raise ValueError(f"{host!r}: * stands for subdomains of a domain, without a scheme")
        if match["scheme"] == "http" and not match["port"]:
            raise ValueError(f"{host!r} does not say its port")
        if parse_authority(match["host"].removeprefix("*.")) is None:
            raise ValueError(f"{host[:60]!r} is neither the name of a host nor an address")
    return ",".join(hosts)


def _webhook_secret(text: str) -> str:
    if text:
        secret_bytes(text)
    return text


def secret_bytes(secret: str) -> bytes:
    """The key in a secret as Standard Webhooks writes it: `whsec_` and base64 of 24 to 64 bytes.

    Raises:
        ValueError: it is no such secret.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("not whsec_ and the base64 of 24 to 64 random bytes")
    return key


def _setting(default: str, parse: Callable[[str], Any], text: str, *, secret: bool = False) -> Any:
    return field(
        repr=not secret,
        metadata={"default": default, "parse": parse, "help": text, "secret": secret},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process; durations in microseconds."""

    kafka_bootstrap: str = _setting(
        "", _bootstrap, "HOST:PORT[,...] of the brokers; empty: start or find a local one"
    )
    kafka_prefix: str = _setting(
        "",
        _name_prefix,
        "put before the name of every topic, group and transactional id, to share a cluster",
    )
    data_dir: Path = _setting(
        ".store-uptime", _path, "folder of all state: broker, tables, logs, ports in use"
    )
    cache_dir: Path = _setting(
        "~/.cache/store-uptime", _path, "folder of the broker's jars, shared by all checkouts"
    )
    partitions: int = _setting(
        "8", _whole(1, 1000), "partitions of the topics by store; fixed once they exist"
    )
    replication: int = _setting("1", _whole(1, 5), "copies of every topic; 3 with three brokers")
    standby: int = _setting(
        "0",
        _whole(0, 5),
        "workers besides the owner that keep a copy of each partition, to take over at once",
    )
    api_host: str = _setting(LOOPBACK, _host, "address that the API listens on")
    api_port: int = _setting("8000", _whole(0, 65535), "port of the API; 0: any free one")
    api_names: str = _setting(
        "",
        _api_names,
        "names besides its addresses that the API and the status page answer to: NAME, NAME:PORT",
    )
    public_stores: str = _setting(
        "", _named_stores, "stores of the public status page, ID or ID=NAME, ...; empty: no page"
    )
    public_host: str = _setting(LOOPBACK, _host, "address of the status page's own port")
    public_port: int = _setting(
        "0", _whole(0, 65535), "port of the status page alone; 0: only at /public/ of the API"
    )
    worker_host: str = _setting(LOOPBACK, _host, "address of a worker's metrics and health checks")
    worker_port: int = _setting(
        "0", _whole(0, 65535), "port of them; 0: any free one, which the worker's log names"
    )
    watchman: int = _setting(
        "1m", _interval, "how often a worker recomputes some stores from the topics; 0: never"
    )
    lookback: int = _setting(
        "1h", _duration(0, 30 * DAY), "how long before the oldest window a poll still counts"
    )
    default_status: str = _setting(
        "inactive", _choice("active", "inactive"), "status where no poll tells"
    )
    stale_after: int = _setting(
        "2h",
        _duration(SECOND, 30 * DAY),
        "how long a poll speaks for its store; later the state is unknown, coverage ends",
    )
    default_timezone: str = _setting(
        "America/Chicago", _zone, "zone of stores without one, or with an unknown one"
    )
    reference_clock: str = _setting(
        "data",
        _choice("data", "wall"),
        "what a report without a time refers to: data, the newest poll; wall, the clock",
    )
    future_tolerance: int = _setting(
        "5m", _duration(0, 30 * DAY), "how far ahead of the clock a poll may be dated"
    )
    earliest_poll: int = _setting(
        "2000-01-01T00:00:00Z",
        parse_instant,
        "a poll dated before it is refused: a wrong unit, or a clock that was never set",
    )
    retention: int = _setting(
        "400d",
        _duration(8 * DAY, 4000 * DAY),
        "how far behind a store's newest poll its polls are kept",
    )
    max_stores: int = _setting(
        "1000000", _whole(1, 100_000_000), "how many stores there may be; a new one is refused then"
    )
    report_deadline: int = _setting(
        "2m", _duration(SECOND, DAY), "a report not complete by then fails"
    )
    report_retention: int = _setting(
        "7d", _duration(HOUR, 4000 * DAY), "how long a report can be fetched"
    )
    dead_letters_mb: int = _setting(
        "1000",
        _whole(100, 100_000_000),
        "how many MB of dead letters are kept, for 30 days at most; the oldest go first",
    )
    webhook_hosts: str = _setting(
        "",
        _webhook_hosts,
        "where webhooks may go: HOST, HOST:PORT, *.DOMAIN, http://HOST:PORT; empty: no webhooks",
    )
    webhook_secret: str = _setting(
        "", _webhook_secret, "signs webhooks: whsec_ and base64 of 24 to 64 bytes", secret=True
    )
    webhook_patience: int = _setting(
        "24h",
        _duration(MINUTE, 30 * DAY),
        "how long beyond the report's deadline a webhook is tried",
    )
    kafka_security_protocol: str = _setting(
        "PLAINTEXT",
        _choice("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL", upper=True),
        "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    )
    kafka_sasl_mechanism: str = _setting(
        "PLAIN",
        _choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", upper=True),
        "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
    )
    kafka_sasl_username: str = _setting("", str, "user for SASL")
    kafka_sasl_password: str = _setting("", str, "password for SASL", secret=True)
    kafka_tls_ca_file: Path | None = _setting(
        "", _optional_path, "authorities to trust; empty: the system's"
    )
    kafka_tls_cert_file: Path | None = _setting("", _optional_path, "client certificate")
    kafka_tls_key_file: Path | None = _setting("", _optional_path, "key of that certificate")
    kafka_tls_key_password: str = _setting(
        "", str, "password of that key, if it has one", secret=True
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **overrides: Any) -> Settings:
        """Read all settings; `overrides` (parsed values, None: not given) win.

        Raises:
            SettingsError: a value that cannot be used, or a STORE_UPTIME_ variable that is
                no setting (a misspelt name must not be a silent default). What Kubernetes makes
                of its services is left out.
        """
        known = {PREFIX + f.name.upper(): f for f in fields(cls)}
        own = _own_variables(environment)
        values: dict[str, Any] = {}
        for variable, setting in known.items():
            name = setting.name
            if overrides.get(name) is not None:
                values[name] = overrides[name]
                continue
            text = own.get(variable, setting.metadata["default"])
            shown = "" if setting.metadata["secret"] else f"={text!r}"
            path = own.get(variable + ENDING)
            try:
                if path is not None:
                    shown = f"{ENDING}={path!r}"
                    text = _from_file(path, text)
                values[name] = setting.metadata["parse"](text)
            except (ValueError, RecordError) as error:
                hint = _LINK_HINT if is_address(text) else ""
                raise SettingsError(f"{variable}{shown}: {error}{hint}") from None
        settings = cls(**values)
        _check_together(settings)
        return settings

    @property
    def default_active(self) -> bool:
        """The default status as the domain takes it."""
        return self.default_status == "active"


def _variables() -> list[str]:
    """The names of all variables that are settings, those of files of secrets included."""
    names = []
    for setting in fields(Settings):
        variable = PREFIX + setting.name.upper()
        names += [variable, variable + ENDING] if setting.metadata["secret"] else [variable]
    return names


def _own_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are settings.

    Raises:
        SettingsError: one has the prefix and is none.
    """
    known = _variables()
    own = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or is_service_link(variable, environment, known):
            continue
        if variable not in known:
            raise SettingsError(f"{variable} is no setting; {_what_was_meant(variable, known)}")
        own[variable] = text
    return own


def _what_was_meant(variable: str, known: list[str]) -> str:
    names = [name.removeprefix(PREFIX) for name in known]
    said = variable.removeprefix(PREFIX).upper()
    longer = [name for name in names if set(said.split("_")) <= set(name.split("_"))]
    near = longer or get_close_matches(said, names, n=1)
    if near:
        return f"was {PREFIX}{near[0]} meant?"
    return "`store-uptime settings` lists them all where it is not set"


def _from_file(path: str, text: str) -> str:
    """The secret in a file; `text` is what the variable of the secret itself has."""
    if text:
        raise ValueError("the variable without _FILE is set too: leave one of them out")
    return read_secret(_path(path))


def links_instead_of_settings(environment: Mapping[str, str]) -> list[str]:
    """One line for each setting whose variable Kubernetes made of a service; it is not used."""
    known = _variables()
    return [
        f"{variable}={text} is an address that Kubernetes made of the service "
        f"{service_name(variable)}, and no setting: write the setting into the pod's env to change "
        "it, or say `enableServiceLinks: false` there"
        for variable, text in environment.items()
        if variable in known and is_service_link(variable, environment, known)
    ]


def _check_together(settings: Settings) -> None:
    protocol = settings.kafka_security_protocol
    said = f"{PREFIX}KAFKA_SECURITY_PROTOCOL={protocol}"
    user, password = settings.kafka_sasl_username, settings.kafka_sasl_password
    if protocol.startswith("SASL"):
        if not (user and password):
            raise SettingsError(
                f"{said} needs {PREFIX}KAFKA_SASL_USERNAME and {PREFIX}KAFKA_SASL_PASSWORD"
            )
    elif user or password:
        raise SettingsError(
            f"{PREFIX}KAFKA_SASL_{'USERNAME' if user else 'PASSWORD'} is set but {said} would not "
            "use it; say SASL_SSL (or SASL_PLAINTEXT to send the password unencrypted)"
        )
    if not protocol.endswith("SSL"):
        for name in (f.name for f in fields(settings) if f.name.startswith("kafka_tls_")):
            if getattr(settings, name):
                raise SettingsError(
                    f"{PREFIX}{name.upper()} is set but {said} would not use it; say SSL or "
                    "SASL_SSL"
                )
    if bool(settings.kafka_tls_cert_file) != bool(settings.kafka_tls_key_file):
        raise SettingsError(
            f"{PREFIX}KAFKA_TLS_CERT_FILE and {PREFIX}KAFKA_TLS_KEY_FILE go together"
        )
    if settings.kafka_tls_key_password and not settings.kafka_tls_key_file:
        raise SettingsError(
            f"{PREFIX}KAFKA_TLS_KEY_PASSWORD is of no use without {PREFIX}KAFKA_TLS_KEY_FILE"
        )
    _check_webhooks(settings)
    if settings.retention < WEEK + settings.lookback:
        raise SettingsError(
            f"{PREFIX}RETENTION={format_duration(settings.retention)} is shorter than the week "
            f"plus {PREFIX}LOOKBACK={format_duration(settings.lookback)} that a report looks back"
        )


def _check_webhooks(settings: Settings) -> None:
    if not settings.webhook_hosts:
        return
    if not settings.webhook_secret:
        raise SettingsError(f"{PREFIX}WEBHOOK_HOSTS needs {PREFIX}WEBHOOK_SECRET")
    tried = settings.report_deadline + settings.webhook_patience
    if tried > settings.report_retention:
        raise SettingsError(
            f"{PREFIX}REPORT_DEADLINE plus {PREFIX}WEBHOOK_PATIENCE, {format_duration(tried)}, is "
            f"longer than {PREFIX}REPORT_RETENTION={format_duration(settings.report_retention)}, "
            "for which a webhook and its report are kept"
        )


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One row of `store-uptime settings`."""

    variable: str
    value: str
    origin: str
    help: str


def describe(settings: Settings, environment: Mapping[str, str]) -> list[SettingLine]:
    """Every setting with its value as text and its origin; secrets masked."""
    own = _own_variables(environment)
    lines = []
    for setting in fields(Settings):
        variable = PREFIX + setting.name.upper()
        value = getattr(settings, setting.name)
        if setting.metadata["secret"]:
            text = "********" if value else ""
        elif setting.metadata["default"] and _is_duration(setting.metadata["default"]):
            text = format_duration(value)
        elif setting.metadata["parse"] is parse_instant:
            text = format_instant(value)
        else:
            text = "" if value is None else str(value)
        if setting.metadata["secret"] and variable + ENDING in own:
            origin = f"file {own[variable + ENDING]}"
        else:
            origin = _origin(own.get(variable), value, setting.metadata)
        lines.append(SettingLine(variable, text, origin, setting.metadata["help"]))
    return lines


def _origin(told: str | None, value: Any, metadata: Mapping[str, Any]) -> str:
    """Where a value comes from: what the environment does not say, an option said."""
    try:
        if metadata["parse"](metadata["default"] if told is None else told) != value:
            return "option"
    except ValueError:
        # the environment says nonsense that an option stands before
        return "option"
    return "default" if told is None else "environment"


def defaults() -> list[SettingLine]:
    """Every setting with its default, as documented."""
    return [
        SettingLine(PREFIX + f.name.upper(), f.metadata["default"], "default", f.metadata["help"])
        for f in fields(Settings)
    ]


def _is_duration(text: str) -> bool:
    return is_duration(text)
