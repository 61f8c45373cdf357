"""The kinds of settings: how each is read from text and written as text."""

# no `from __future__ import annotations`: pydantic reads the annotations
import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import pytz
from pydantic import GetCoreSchemaHandler, SecretBytes, SecretStr
from pydantic_core import core_schema

from stream_app.authority import Authority, ip_of, parse_authority
from stream_app.domain.identifiers import canonical_uuid
from stream_app.domain.timestamps import DAY, format_instant, parse_instant
from stream_app.durations import format_duration, parse_duration
from stream_app.errors import RecordError
from stream_app.webhook_hosts import WebhookHost, parse_webhook_hosts

MAX_PUBLIC_STORES: Final = 200
"""The largest number of stores on the status page."""

_NAME_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,100}")
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105  it stands before every secret


@dataclass(frozen=True, slots=True)
class Text:
    """The metadata of a setting's type: how its value is read and written.

    A value that is no text was read already and stays as it is.

    Attributes:
        parse: reads the value; raises `ValueError` with what is wrong.
        write: writes the text that `parse` reads back.
    """

    parse: Callable[[str], Any]
    write: Callable[[Any], str] = str

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._read,
            serialization=core_schema.plain_serializer_function_ser_schema(self.write),
        )

    def _read(self, value: Any) -> Any:
        try:
            return self.parse(value) if isinstance(value, str) else value
        except RecordError as error:
            raise ValueError(str(error)) from None


class Choice:
    """The metadata of a `Literal` whose names may be written in any case."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        names: dict[str, str] = {name.lower(): name for name in get_args(source)}

        def parse(text: str) -> str:
            name = names.get(text.strip().lower())
            if name is None:
                raise ValueError(f"not one of {', '.join(names.values())}")
            return name

        return Text(parse).__get_pydantic_core_schema__(source, handler)


def duration(minimum: int, maximum: int) -> Text:
    """Make the kind of a duration within two bounds, all in µs."""

    def parse(text: str) -> int:
        value = parse_duration(text)
        if not minimum <= value <= maximum:
            raise ValueError(f"not in {format_duration(minimum)} to {format_duration(maximum)}")
        return value

    return Text(parse, format_duration)


def _parse_interval(text: str) -> int:
    return 0 if text.strip() == "0" else int(duration(0, DAY).parse(text))


def whole_number(minimum: int, maximum: int) -> Text:
    """Make the kind of a whole number within two bounds."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError("not a whole number") from None
        if not minimum <= number <= maximum:
            raise ValueError(f"not in {minimum} to {maximum}")
        return number

    return Text(parse)


Port = Annotated[int, whole_number(0, 65535)]
"""The number of a port; 0 is any free one."""

Interval = Annotated[int, Text(_parse_interval, format_duration)]
"""A duration of up to a day; `0` is one too, and means never."""

Instant = Annotated[int, Text(parse_instant, format_instant)]
"""A time in ISO 8601, in µs."""

Status = Annotated[Literal["active", "inactive"], Choice()]
ReferenceClock = Annotated[Literal["data", "wall"], Choice()]
SecurityProtocol = Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], Choice()]
SaslMechanism = Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Choice()]


def _parse_timezone(text: str) -> str:
    if text not in pytz.all_timezones_set:
        raise ValueError("not the IANA name of a timezone such as America/Chicago")
    return text


Timezone = Annotated[str, Text(_parse_timezone)]
"""The name of an IANA timezone."""


def _parse_addresses(text: str) -> str:
    addresses = [part.strip() for part in text.split(",") if part.strip()]
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{address!r} is not HOST:PORT")
    return ",".join(addresses)


Addresses = Annotated[str, Text(_parse_addresses)]
"""A text such as `HOST:PORT[,...]`, as Kafka's clients take it."""


def _parse_name_prefix(text: str) -> str:
    if not _NAME_PREFIX.fullmatch(text):
        raise ValueError("more than 100 characters, or others than letters, digits and . _ -")
    if text.startswith("__"):
        raise ValueError("begins as Kafka's own topics do")
    return text


NamePrefix = Annotated[str, Text(_parse_name_prefix)]
"""The text that stands before the names of topics and groups."""


def _parse_host(text: str) -> str:
    host = text.strip()
    if not host:
        # an empty host would listen on every address of the machine
        raise ValueError("is empty; 0.0.0.0 listens on every address")
    name = parse_authority(host)
    if ip_of(host) is None and (name is None or name.port is not None or host.startswith("[")):
        raise ValueError(f"{host[:60]!r} is neither the name of a host nor an address")
    return host


Host = Annotated[str, Text(_parse_host)]
"""The name or the address of a host that a server listens on."""


def _parse_authorities(text: str) -> tuple[Authority, ...]:
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


def _write_list(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


Authorities = Annotated[tuple[Authority, ...], Text(_parse_authorities, _write_list)]
"""A text such as `NAME,NAME:PORT,...`; a name without a port stands for all ports."""

WebhookHosts = Annotated[tuple[WebhookHost, ...], Text(parse_webhook_hosts, _write_list)]
"""The list of hosts to which webhooks may go."""


def _parse_named_stores(text: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        written, _, name = part.partition("=")
        store_id = canonical_uuid(written)
        if store_id is None:
            raise ValueError(f"{written.strip()[:60]!r} is not a store id, which is a UUID")
        if store_id in named:
            raise ValueError(f"store {store_id} is named twice")
        named[store_id] = name.strip() or store_id
    if len(named) > MAX_PUBLIC_STORES:
        raise ValueError(f"{len(named)} stores, more than {MAX_PUBLIC_STORES}")
    return named


def _write_named_stores(named: dict[str, str]) -> str:
    return ",".join(f"{store_id}={name}" for store_id, name in named.items())


NamedStores = Annotated[dict[str, str], Text(_parse_named_stores, _write_named_stores)]
"""Names by store id, written `ID=NAME,ID,...`; a store without a name is called by its id."""


def parse_path(text: str) -> Path:
    """Read a path; `~` is the home folder.

    Raises:
        ValueError: the text is empty, or the home folder is unknown.
    """
    if not text.strip():
        raise ValueError("is empty; . is the current folder")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from None


FilePath = Annotated[Path, Text(parse_path)]
"""The path of a file or folder; `~` is the home folder."""


def _parse_optional_path(text: str) -> Path | None:
    return parse_path(text) if text else None


def _write_optional_path(path: Path | None) -> str:
    return "" if path is None else str(path)


OptionalPath = Annotated[Path | None, Text(_parse_optional_path, _write_optional_path)]
"""A path, or nothing."""

Password = Annotated[SecretStr, Text(SecretStr, SecretStr.get_secret_value)]
"""A password."""


def _parse_signing_key(text: str) -> SecretBytes:
    if not text:
        return SecretBytes(b"")
    try:
        key = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("not whsec_ and the base64 of 24 to 64 random bytes")
    return SecretBytes(key)


def _write_signing_key(key: SecretBytes) -> str:
    return _SECRET_PREFIX + base64.b64encode(key.get_secret_value()).decode() if key else ""


SigningKey = Annotated[SecretBytes, Text(_parse_signing_key, _write_signing_key)]
"""A secret as Standard Webhooks writes it: `whsec_` and base64 of 24 to 64 bytes."""
