from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretBytes, SecretStr, ValidationError

from stream_app.authority import Authority
from stream_app.errors import SettingsError
from stream_app.setting_variables import PREFIX
from stream_app.settings import Settings
from stream_app.settings_table import defaults, describe, texts_of
from stream_app.webhook_hosts import WebhookHost

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

README = Path(__file__).parents[2] / "README.md"

SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_USERNAME": "ann",
    "KAFKA_SASL_PASSWORD": "hunter2",
}

STORE = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
NAMED = {STORE: "Down town", OTHER: OTHER}

WEBHOOKS = {
    "WEBHOOK_HOSTS": "hooks.example.com,*.example.org:8443,[::1]:99,http://127.0.0.1:9000",
    "WEBHOOK_SECRET": "whsec_" + "AAAA" * 8,
}


def environment(**given: str) -> dict[str, str]:
    return {PREFIX + name: text for name, text in given.items()}


def read(**given: str) -> Settings:
    return Settings.from_environment(environment(**given))


def refusal(**given: str) -> str:
    with pytest.raises(SettingsError) as refused:
        read(**given)
    assert "\n" not in str(refused.value)
    return str(refused.value)


DEFAULTS: dict[str, Any] = {
    "kafka_bootstrap": "",
    "kafka_prefix": "",
    "data_dir": Path(".store-uptime"),
    "cache_dir": Path("~/.cache/store-uptime").expanduser(),
    "partitions": 8,
    "replication": 1,
    "standby": 0,
    "api_host": "127.0.0.1",
    "api_port": 8000,
    "api_names": (),
    "public_stores": {},
    "public_host": "127.0.0.1",
    "public_port": 0,
    "worker_host": "127.0.0.1",
    "worker_port": 0,
    "watchman": 60 * SECOND,
    "lookback": HOUR,
    "default_status": "inactive",
    "stale_after": 2 * HOUR,
    "default_timezone": "America/Chicago",
    "reference_clock": "data",
    "future_tolerance": 300 * SECOND,
    "earliest_poll": 946_684_800 * SECOND,
    "retention": 400 * DAY,
    "max_stores": 1_000_000,
    "report_deadline": 120 * SECOND,
    "report_retention": 7 * DAY,
    "dead_letters_mb": 1000,
    "webhook_hosts": (),
    "webhook_secret": SecretBytes(b""),
    "webhook_patience": DAY,
    "kafka_security_protocol": "PLAINTEXT",
    "kafka_sasl_mechanism": "PLAIN",
    "kafka_sasl_username": "",
    "kafka_sasl_password": SecretStr(""),
    "kafka_tls_ca_file": None,
    "kafka_tls_cert_file": None,
    "kafka_tls_key_file": None,
    "kafka_tls_key_password": SecretStr(""),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_setting_has_its_default(name: str) -> None:
    assert getattr(read(), name) == DEFAULTS[name]


def test_every_setting_has_a_tested_default() -> None:
    assert [line.variable for line in defaults()] == [PREFIX + name.upper() for name in DEFAULTS]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("KAFKA_BOOTSTRAP", " a:9092, b:9093 ,", "a:9092,b:9093"),
        ("KAFKA_BOOTSTRAP", "[::1]:9092", "[::1]:9092"),
        ("KAFKA_PREFIX", "Team_1.test-", "Team_1.test-"),
        ("DATA_DIR", "/var/lib/uptime", Path("/var/lib/uptime")),
        ("PARTITIONS", "1000", 1000),
        ("REPLICATION", "3", 3),
        ("API_HOST", "0.0.0.0", "0.0.0.0"),  # noqa: S104  a valid choice
        ("API_PORT", "0", 0),
        (
            "API_NAMES",
            " Uptime.Example.COM., a_b:8443 ,[::1]:80,10.0.0.1, ",
            (
                Authority("uptime.example.com"),
                Authority("a_b", 8443),
                Authority(ip_address("::1"), 80),
                Authority(ip_address("10.0.0.1")),
            ),
        ),
        ("WORKER_PORT", "9464", 9464),
        ("WATCHMAN", "0", 0),
        ("WATCHMAN", "0s", 0),
        ("WATCHMAN", "90s", 90 * SECOND),
        ("LOOKBACK", "0s", 0),
        ("LOOKBACK", "1h30m", HOUR + HOUR // 2),
        ("DEFAULT_STATUS", "Active", "active"),
        ("DEFAULT_TIMEZONE", "Asia/Kathmandu", "Asia/Kathmandu"),
        ("REFERENCE_CLOCK", "WALL", "wall"),
        ("FUTURE_TOLERANCE", "90s", 90 * SECOND),
        ("RETENTION", "30d", 30 * DAY),
        ("REPORT_DEADLINE", "500ms 500ms", SECOND),
        ("REPORT_RETENTION", "1h", HOUR),
        ("DEAD_LETTERS_MB", "5000", 5000),
        ("WEBHOOK_PATIENCE", "1h", HOUR),
        ("WEBHOOK_SECRET", "whsec_" + "AAAA" * 8, SecretBytes(bytes(24))),
        ("WEBHOOK_SECRET", "AAAA" * 8, SecretBytes(bytes(24))),
        ("PUBLIC_STORES", f" {STORE.upper()} = Down town , {OTHER},", NAMED),
        ("KAFKA_SECURITY_PROTOCOL", "ssl", "SSL"),
        ("KAFKA_SASL_MECHANISM", "scram-sha-512", "SCRAM-SHA-512"),
    ],
)
def test_a_value_is_read(name: str, text: str, value: Any) -> None:
    assert getattr(read(**{name: text}), name.lower()) == value


def test_webhook_hosts_are_read() -> None:
    given = WEBHOOKS["WEBHOOK_HOSTS"].replace(",", " , ").replace("hooks", "HOOKS")
    settings = read(WEBHOOK_HOSTS=given, WEBHOOK_SECRET=WEBHOOKS["WEBHOOK_SECRET"])
    assert texts_of(settings)[f"{PREFIX}WEBHOOK_HOSTS"] == WEBHOOKS["WEBHOOK_HOSTS"]
    assert settings.webhook_hosts[1:] == (
        WebhookHost("*.example.org:8443", "https", "example.org", 8443, wildcard=True, own=False),
        WebhookHost("[::1]:99", "https", "::1", 99, wildcard=False, own=True),
        WebhookHost("http://127.0.0.1:9000", "http", "127.0.0.1", 9000, wildcard=False, own=True),
    )


@pytest.mark.parametrize("text", ["x", f"{STORE},{STORE}=A", f"A={STORE}"])
def test_a_bad_list_of_public_stores_is_refused(text: str) -> None:
    assert "store" in refusal(PUBLIC_STORES=text)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_AAAA", "hunter2", "whsec_" + "AAAA" * 22])
def test_a_bad_webhook_secret_is_refused_and_not_shown(secret: str) -> None:
    assert refusal(WEBHOOK_SECRET=secret) == (
        f"{PREFIX}WEBHOOK_SECRET: not whsec_ and the base64 of 24 to 64 random bytes"
    )


def test_the_domain_gets_the_default_status_as_a_boolean() -> None:
    assert read().default_active is False
    assert read(DEFAULT_STATUS="active").default_active is True


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("API_HOST", "a b"),
        ("API_HOST", "localhost:8000"),
        ("API_HOST", "[::1]"),
        ("API_HOST", "a..b"),
        ("API_HOST", "300.1.1.1"),
        ("API_HOST", "http://localhost"),
        ("PUBLIC_HOST", "x" * 64),
        ("WORKER_HOST", "a/b"),
        ("WEBHOOK_HOSTS", ".example.com"),
        ("WEBHOOK_HOSTS", "*..example.com"),
        ("WEBHOOK_HOSTS", "*.-a.example.com"),
        ("WEBHOOK_HOSTS", f"{'x' * 64}.example.com"),
        ("WEBHOOK_HOSTS", ".".join(["x" * 60] * 5)),
        ("WEBHOOK_HOSTS", "ann@hooks.example.com"),
        ("WEBHOOK_HOSTS", "hooks.example.com:0"),
        ("WEBHOOK_HOSTS", "hooks.example.com:65536"),
        ("WEBHOOK_HOSTS", "hooks.example.com/path"),
        ("WEBHOOK_HOSTS", "1.2.3.400"),
        ("WEBHOOK_HOSTS", "b\u00fccher.example.com"),
        ("KAFKA_BOOTSTRAP", "localhost"),
        ("KAFKA_BOOTSTRAP", "localhost:"),
        ("KAFKA_BOOTSTRAP", ":9092"),
        ("KAFKA_BOOTSTRAP", "localhost:0"),
        ("KAFKA_BOOTSTRAP", "localhost:65536"),
        ("KAFKA_BOOTSTRAP", "localhost:²"),
        ("KAFKA_BOOTSTRAP", "a:9092,b"),
        ("KAFKA_PREFIX", "a b"),
        ("KAFKA_PREFIX", "a/"),
        ("KAFKA_PREFIX", "é-"),
        ("KAFKA_PREFIX", "a-\n"),
        ("KAFKA_PREFIX", "__a"),
        ("KAFKA_PREFIX", "a" * 101),
        ("WEBHOOK_HOSTS", "https://"),
        ("WEBHOOK_HOSTS", "ftp://a:1"),
        ("WEBHOOK_HOSTS", "http://a"),
        ("WEBHOOK_HOSTS", "a:0"),
        ("WEBHOOK_HOSTS", "a:65536"),
        ("WEBHOOK_HOSTS", "a/b"),
        ("WEBHOOK_HOSTS", "user@a"),
        ("WEBHOOK_HOSTS", "*"),
        ("WEBHOOK_HOSTS", "*.com"),
        ("WEBHOOK_HOSTS", "a.*.example.com"),
        ("WEBHOOK_HOSTS", "http://*.example.com:80"),
        ("WEBHOOK_HOSTS", "1.2.3"),
        ("WEBHOOK_HOSTS", "2130706433"),
        ("WEBHOOK_HOSTS", "1.2.3.256"),
        ("WEBHOOK_HOSTS", "::1"),
        ("WEBHOOK_HOSTS", "[::g]"),
        ("WEBHOOK_PATIENCE", "1s"),
        ("DEAD_LETTERS_MB", "99"),
        ("DEAD_LETTERS_MB", "1GB"),
        ("DATA_DIR", ""),
        ("DATA_DIR", "~nobody-has-this-name/data"),
        ("CACHE_DIR", " "),
        ("PARTITIONS", "0"),
        ("PARTITIONS", "1001"),
        ("PARTITIONS", ""),
        ("PARTITIONS", "eight"),
        ("PARTITIONS", "8.0"),
        ("PARTITIONS", "9" * 10_000),
        ("REPLICATION", "0"),
        ("REPLICATION", "6"),
        ("API_HOST", ""),
        ("API_PORT", "-1"),
        ("API_NAMES", "https://a"),
        ("API_NAMES", "a,*.example.com"),
        ("API_NAMES", "a:0"),
        ("API_NAMES", "a:65536"),
        ("API_NAMES", "::1"),
        ("API_NAMES", "1.2.3"),
        ("API_NAMES", "bücher.example"),
        ("API_NAMES", "a/b"),
        ("API_PORT", "65536"),
        ("WORKER_PORT", "65536"),
        ("WORKER_HOST", " "),
        ("WATCHMAN", "never"),
        ("WATCHMAN", "-1"),
        ("WATCHMAN", "2d"),
        ("LOOKBACK", "31d"),
        ("LOOKBACK", "60"),
        ("LOOKBACK", "-1h"),
        ("LOOKBACK", "1h later"),
        ("LOOKBACK", ""),
        ("DEFAULT_STATUS", "up"),
        ("DEFAULT_STATUS", ""),
        ("DEFAULT_TIMEZONE", "Mars/Base"),
        ("DEFAULT_TIMEZONE", "america/chicago"),
        ("DEFAULT_TIMEZONE", ""),
        ("REFERENCE_CLOCK", "clock"),
        ("FUTURE_TOLERANCE", "5"),
        ("RETENTION", "7d"),
        ("RETENTION", "4001d"),
        ("REPORT_DEADLINE", "0s"),
        ("REPORT_DEADLINE", "25h"),
        ("REPORT_RETENTION", "59m"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("KAFKA_SASL_MECHANISM", "GSSAPI"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_variable(name: str, text: str) -> None:
    assert refusal(**{name: text}).startswith(f"{PREFIX}{name}={text!r}: ")


@pytest.mark.parametrize(
    ("name", "text", "help_"),
    [
        ("PARTITIONS", "0", "not in 1 to 1000"),
        ("PARTITIONS", "x", "not a whole number"),
        ("LOOKBACK", "60", "not a duration such as 90s, 15m, 1h30m or 7d"),
        ("LOOKBACK", "31d", "not in 0s to 30d"),
        ("DEFAULT_STATUS", "up", "not one of active, inactive"),
        ("DEFAULT_TIMEZONE", "CDT", "not the IANA name of a timezone such as America/Chicago"),
        ("KAFKA_BOOTSTRAP", "a:1,b", "'b' is not HOST:PORT"),
        ("API_HOST", "", "is empty; 0.0.0.0 listens on every address"),
    ],
)
def test_a_refusal_names_the_allowed_values(name: str, text: str, help_: str) -> None:
    assert refusal(**{name: text}).endswith(f": {help_}")


@pytest.mark.parametrize("name", ["PARTITION", "LOOK_BACK", "Partitions", "api_port", ""])
def test_a_variable_that_is_no_setting_is_refused(name: str) -> None:
    """A misspelt name, or one in the wrong case, would leave the default in force."""
    assert refusal(**{name: "1"}).startswith(f"{PREFIX}{name} is no setting")


def test_variables_of_others_are_left_alone() -> None:
    assert Settings.from_environment({"PATH": "/bin", "STORE_UPTIMES": "x"}) == read()


def test_an_option_wins_over_the_environment_and_none_is_no_option() -> None:
    given = environment(API_PORT="nonsense", PARTITIONS="3")
    settings = Settings.from_environment(given, api_port=7, partitions=None)
    assert (settings.api_port, settings.partitions) == (7, 3)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({**SASL, "KAFKA_SASL_USERNAME": ""}, "KAFKA_SASL_USERNAME"),
        ({**SASL, "KAFKA_SASL_PASSWORD": ""}, "KAFKA_SASL_PASSWORD"),
        ({**SASL, "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "KAFKA_SASL_USERNAME is set"),
        ({**SASL, "KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SASL_USERNAME is set"),
        ({"KAFKA_SASL_PASSWORD": "hunter2"}, "KAFKA_SASL_PASSWORD is set"),
        ({"KAFKA_TLS_CA_FILE": "ca.pem"}, "KAFKA_TLS_CA_FILE is set"),
        ({"WEBHOOK_HOSTS": "a.example"}, "WEBHOOK_HOSTS needs STORE_UPTIME_WEBHOOK_SECRET"),
        ({**WEBHOOKS, "WEBHOOK_PATIENCE": "7d"}, "REPORT_RETENTION=7d, for which"),
        (
            {**SASL, "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_TLS_CA_FILE": "ca.pem"},
            "KAFKA_TLS_CA_FILE is set",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_TLS_CERT_FILE": "cert.pem"},
            "KAFKA_TLS_KEY_FILE go together",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_TLS_KEY_FILE": "key.pem"},
            "KAFKA_TLS_CERT_FILE and",
        ),
        ({"KAFKA_TLS_KEY_PASSWORD": "hunter2"}, "KAFKA_TLS_KEY_PASSWORD is set"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_TLS_KEY_PASSWORD": "hunter2"},
            "KAFKA_TLS_KEY_PASSWORD is of no use",
        ),
        ({"RETENTION": "8d", "LOOKBACK": "25h"}, "LOOKBACK=1d1h"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, str], named: str) -> None:
    """A setting that should protect must not stay unused without an error."""
    reason = refusal(**given)
    assert PREFIX + named in reason
    assert "hunter2" not in reason


@pytest.mark.parametrize(
    "given",
    [
        SASL,
        WEBHOOKS,
        {"WEBHOOK_SECRET": WEBHOOKS["WEBHOOK_SECRET"]},
        {**SASL, "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
        {"KAFKA_SECURITY_PROTOCOL": "SSL"},
        {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_TLS_CA_FILE": "ca.pem"},
        {
            **SASL,
            "KAFKA_TLS_CA_FILE": "ca.pem",
            "KAFKA_TLS_CERT_FILE": "cert.pem",
            "KAFKA_TLS_KEY_FILE": "key.pem",
        },
        {"RETENTION": "8d", "LOOKBACK": "1d"},
    ],
)
def test_settings_that_go_together_are_accepted(given: dict[str, str]) -> None:
    texts = texts_of(read(**given))
    for name, text in given.items():
        assert texts[PREFIX + name] == text


def test_a_secret_is_never_shown() -> None:
    settings = read(**SASL)
    lines = describe(settings, environment(**SASL))
    assert "hunter2" not in repr(lines)
    password = next(line for line in lines if line.variable.endswith("PASSWORD"))
    assert (password.value, password.origin) == ("********", "environment")
    assert "hunter2" not in refusal(**SASL, KAFKA_SASL_PASSWORDS="hunter2")
    assert "hunter2" not in refusal(**SASL, PARTITIONS="x")


def test_a_secret_is_not_in_the_repr_that_a_log_or_a_traceback_would_show() -> None:
    assert "hunter2" not in repr(read(**SASL))


def test_an_unset_secret_is_shown_as_unset() -> None:
    password = next(line for line in describe(read(), {}) if line.variable.endswith("PASSWORD"))
    assert password.value == ""


def test_describe_gives_value_and_origin_of_every_setting() -> None:
    given = environment(PARTITIONS="3", LOOKBACK="90m", API_PORT="7", CACHE_DIR="")
    settings = Settings.from_environment(
        given, api_port=8, cache_dir=Path("/cache"), data_dir=Path("/data")
    )
    lines = describe(settings, given)
    shown = {line.variable.removeprefix(PREFIX): (line.value, line.origin) for line in lines}
    assert [line.variable for line in lines] == [line.variable for line in defaults()]
    assert shown["PARTITIONS"] == ("3", "environment")
    assert shown["LOOKBACK"] == ("1h30m", "environment")
    assert shown["RETENTION"] == ("400d", "default")
    assert shown["KAFKA_TLS_CA_FILE"] == ("", "default")
    assert shown["API_PORT"] == ("8", "option")
    assert shown["DATA_DIR"] == ("/data", "option")
    assert shown["CACHE_DIR"] == ("/cache", "option")


def test_described_settings_read_back() -> None:
    first = read(LOOKBACK="90m", KAFKA_BOOTSTRAP="a:1,b:2", PUBLIC_STORES=f"{STORE}=A,{OTHER}")
    given = {line.variable: line.value for line in describe(first, {})}
    assert Settings.from_environment(given) == first


def test_settings_cannot_be_changed() -> None:
    settings = read()
    with pytest.raises(ValidationError):
        settings.partitions = 9
    assert (settings.replace(partitions=9).partitions, settings.partitions) == (9, 8)


def test_nothing_is_read_of_the_process_s_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}PARTITIONS", "9")
    assert read().partitions == 8
    assert read().replace(standby=1).partitions == 8


def test_signatures_and_logins_get_the_secrets() -> None:
    settings = read(**SASL, **WEBHOOKS)
    assert settings.kafka_sasl_password.get_secret_value() == "hunter2"
    assert settings.webhook_secret.get_secret_value() == bytes(24)


def readme_rows() -> list[str]:
    """Return the rows that belong between the comments of the settings in README.md."""
    return [f"| `{line.variable}` | `{line.value or '-'}` | {line.help} |" for line in defaults()]


def test_the_readme_lists_every_setting_with_its_default() -> None:
    """`python -m tests.unit.test_settings` prints the table."""
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    match = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", text, re.DOTALL)
    lines = match[1].splitlines() if match else []
    rows = [row for row in lines if row.startswith(f"| `{PREFIX}")]
    assert rows == readme_rows(), "README.md needs these rows:\n" + "\n".join(readme_rows())


def test_a_help_text_fits_into_a_row_of_a_table() -> None:
    for line in defaults():
        assert line.help
        assert not set("|\n`") & set(line.help)


if __name__ == "__main__":
    print("<!-- settings -->", "| variable | default | meaning |", "|---|---|---|", sep="\n")
    print(*readme_rows(), "<!-- /settings -->", sep="\n")
