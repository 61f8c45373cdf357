"""Every setting, once: its name, its default, its meaning, and which values go together.

A setting `x` is the variable `STORE_UPTIME_X`. Durations are microseconds inside and
`90s`, `15m`, `1h`, `7d` or a sum such as `1h30m` outside. A secret `y` may also stand in a file
that `STORE_UPTIME_Y_FILE` names.
"""

# no `from __future__ import annotations`: pydantic reads the annotations
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import Field, SecretBytes, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from stream_app.authority import LOOPBACK
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK
from stream_app.durations import format_duration
from stream_app.errors import SettingsError
from stream_app.setting_values import (
    Addresses,
    Authorities,
    FilePath,
    Host,
    Instant,
    Interval,
    NamedStores,
    NamePrefix,
    OptionalPath,
    Password,
    Port,
    ReferenceClock,
    SaslMechanism,
    SecurityProtocol,
    SigningKey,
    Status,
    Timezone,
    WebhookHosts,
    duration,
    whole_number,
)
from stream_app.setting_variables import PREFIX, SettingVariables, known_variables, variable_of

KAFKA_PREFIX: Final = f"{PREFIX}KAFKA_PREFIX"
"""The one setting that is read before the others: see `contracts/names.py`."""


def _setting(default: str, description: str) -> Any:
    """Give a setting its default, as it is written outside, and its meaning."""
    return Field(default, description=description)


class Settings(BaseSettings):
    """The settings of one process; durations in microseconds. `from_environment` makes them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, enable_decoding=False, extra="forbid", frozen=True, validate_default=True
    )

    kafka_bootstrap: Addresses = _setting(
        "", "HOST:PORT[,...] of the brokers; empty: start or find a local one"
    )
    kafka_prefix: NamePrefix = _setting(
        "", "put before the name of every topic, group and transactional id, to share a cluster"
    )
    data_dir: FilePath = _setting(
        ".store-uptime", "folder of all state: broker, tables, logs, ports in use"
    )
    cache_dir: FilePath = _setting(
        "~/.cache/store-uptime", "folder of the broker's jars, shared by all checkouts"
    )
    partitions: Annotated[int, whole_number(1, 1000)] = _setting(
        "8", "partitions of the topics by store; fixed once they exist"
    )
    replication: Annotated[int, whole_number(1, 5)] = _setting(
        "1", "copies of every topic; 3 with three brokers"
    )
    standby: Annotated[int, whole_number(0, 5)] = _setting(
        "0", "workers besides the owner that keep a copy of each partition, to take over at once"
    )
    api_host: Host = _setting(LOOPBACK, "address that the API listens on")
    api_port: Port = _setting("8000", "port of the API; 0: any free one")
    api_names: Authorities = _setting(
        "",
        "names besides its addresses that the API and the status page answer to: NAME, NAME:PORT",
    )
    public_stores: NamedStores = _setting(
        "", "stores of the public status page, ID or ID=NAME, ...; empty: no page"
    )
    public_host: Host = _setting(LOOPBACK, "address of the status page's own port")
    public_port: Port = _setting(
        "0", "port of the status page alone; 0: only at /public/ of the API"
    )
    worker_host: Host = _setting(LOOPBACK, "address of a worker's metrics and health checks")
    worker_port: Port = _setting("0", "port of them; 0: any free one, which the worker's log names")
    watchman: Interval = _setting(
        "1m", "how often a worker recomputes some stores from the topics; 0: never"
    )
    lookback: Annotated[int, duration(0, 30 * DAY)] = _setting(
        "1h", "how long before the oldest window a poll still counts"
    )
    default_status: Status = _setting("inactive", "status that counts while no poll gives one")
    stale_after: Annotated[int, duration(SECOND, 30 * DAY)] = _setting(
        "2h", "how long a poll covers the time after it; later the state of the store is unknown"
    )
    default_timezone: Timezone = _setting(
        "America/Chicago", "timezone of stores without one, or with an unknown one"
    )
    reference_clock: ReferenceClock = _setting(
        "data", "what a report without a time refers to: data, the newest poll; wall, the clock"
    )
    future_tolerance: Annotated[int, duration(0, 30 * DAY)] = _setting(
        "5m", "how far ahead of the clock a poll may be dated"
    )
    earliest_poll: Instant = _setting(
        "2000-01-01T00:00:00Z",
        "a poll dated before it is rejected: a wrong unit, or a clock that was never set",
    )
    retention: Annotated[int, duration(8 * DAY, 4000 * DAY)] = _setting(
        "400d", "how far behind a store's newest poll its polls are kept"
    )
    max_stores: Annotated[int, whole_number(1, 100_000_000)] = _setting(
        "1000000", "how many stores there may be; a new one is rejected then"
    )
    report_deadline: Annotated[int, duration(SECOND, DAY)] = _setting(
        "2m", "a report not complete by then fails"
    )
    report_retention: Annotated[int, duration(HOUR, 4000 * DAY)] = _setting(
        "7d", "how long a report can be fetched"
    )
    dead_letters_mb: Annotated[int, whole_number(100, 100_000_000)] = _setting(
        "1000", "how many MB of dead letters are kept, for 30 days at most; the oldest go first"
    )
    webhook_hosts: WebhookHosts = _setting(
        "", "where webhooks may go: HOST, HOST:PORT, *.DOMAIN, http://HOST:PORT; empty: no webhooks"
    )
    webhook_secret: SigningKey = _setting("", "signs webhooks: whsec_ and base64 of 24 to 64 bytes")
    webhook_patience: Annotated[int, duration(MINUTE, 30 * DAY)] = _setting(
        "24h", "how long beyond the report's deadline a webhook is tried"
    )
    kafka_security_protocol: SecurityProtocol = _setting(
        "PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: SaslMechanism = _setting("PLAIN", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    kafka_sasl_username: str = _setting("", "user for SASL")
    kafka_sasl_password: Password = _setting("", "password for SASL")
    kafka_tls_ca_file: OptionalPath = _setting("", "authorities to trust; empty: the system's")
    kafka_tls_cert_file: OptionalPath = _setting("", "client certificate")
    kafka_tls_key_file: OptionalPath = _setting("", "key of that certificate")
    kafka_tls_key_password: Password = _setting("", "password of that key, if it has one")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  all parameters are the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing by itself: `read` names the variables, which were checked."""
        return (init_settings,)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **options: Any) -> Self:
        """Read all settings; an option that is not None goes before the environment.

        Raises:
            SettingsError: a value that cannot be used, or a STORE_UPTIME_ variable that is
                no setting (a misspelt name must not be a silent default). What Kubernetes makes
                of its services is left out.
        """
        given = {name: value for name, value in options.items() if value is not None}
        settings = cls.read(cls.variables(environment), given)
        _check_together(settings)
        return settings

    @classmethod
    def variables(cls, environment: Mapping[str, str]) -> SettingVariables:
        """Take the variables that are settings from an environment.

        Raises:
            SettingsError: one has the prefix and is no setting, or a secret's file is unreadable.
        """
        return SettingVariables.of(environment, cls.model_fields, SECRETS)

    @classmethod
    def read(cls, variables: SettingVariables, options: Mapping[str, Any]) -> Self:
        """Read each setting by itself, without asking whether they go together.

        Raises:
            SettingsError: a value cannot be used.
        """
        source = EnvSettingsSource(cls)
        # the variables that were checked, in place of all that this process has
        source.env_vars = {name.lower(): text for name, text in variables.texts.items()}
        try:
            return cls.model_validate({**source(), **options})
        except ValidationError as errors:
            first = errors.errors()[0]
            variable, reason = variable_of(str(first["loc"][0])), first["ctx"]["error"]
            raise variables.error_of(variable, first["input"], reason) from None

    def replace(self, **values: Any) -> Self:
        """Copy these settings with other values; nobody checks whether they go together.

        Raises:
            ValueError: a value that is a text cannot be used.
        """
        return self.model_validate({**dict(self), **values})

    @property
    def default_active(self) -> bool:
        """Return True if the default status is active."""
        return self.default_status == "active"


SECRETS: Final = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if field.annotation in (SecretStr, SecretBytes)
)
"""The names of the settings that are never shown, and that may stand in a file."""

VARIABLES: Final = known_variables(Settings.model_fields, SECRETS)
"""The names of all variables that are settings."""


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
        for name in (name for name in Settings.model_fields if name.startswith("kafka_tls_")):
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
