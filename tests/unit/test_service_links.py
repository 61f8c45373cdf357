"""The variables that Kubernetes sets for services named like this product prevent no start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from stream_app.cli.main import cli
from stream_app.errors import SettingsError
from stream_app.local.processes.environment import environment_of
from stream_app.setting_variables import PREFIX
from stream_app.settings import Settings
from stream_app.settings_table import describe, links_instead_of_settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def links(service: str, address: str = "10.0.0.1", port: int = 8000) -> dict[str, str]:
    """Return all variables for a service with a port named http (kubelet, envvars.go)."""
    name = service.upper().replace("-", "_")
    host = f"[{address}]" if ":" in address else address
    url = f"tcp://{host}:{port}"
    return {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(port),
        f"{name}_SERVICE_PORT_HTTP": str(port),
        f"{name}_SERVICE_PORT_GRPC_WEB": "9000",
        f"{name}_PORT": url,
        f"{name}_PORT_{port}_TCP": url,
        f"{name}_PORT_{port}_TCP_PROTO": "tcp",
        f"{name}_PORT_{port}_TCP_PORT": str(port),
        f"{name}_PORT_{port}_TCP_ADDR": address,
        f"{name}_PORT_53_UDP": f"udp://{host}:53",
        f"{name}_PORT_53_UDP_PROTO": "udp",
        f"{name}_PORT_99_SCTP_ADDR": address,
    }


SERVICES = [
    "store-uptime",
    "store-uptime-api",
    "store-uptime-worker",
    "store-uptime-public",
    "store-uptime-kafka",
    "store-uptime-kafka-bootstrap",
    "store-uptime-service",
    "store-uptime-api-port",
    "store-uptime-2",
]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
def test_variables_of_a_service_prevent_no_start(service: str, address: str) -> None:
    environment = links(service, address)
    settings = Settings.from_environment(environment)
    assert settings == Settings.from_environment({})
    assert [line.origin for line in describe(settings, environment)] == ["default"] * len(
        describe(settings, {})
    )


@pytest.mark.parametrize("variable", [*links("store-uptime"), *links("store-uptime-web")])
def test_each_of_the_variables_alone_prevents_no_start(variable: str) -> None:
    variables = links("store-uptime") | links("store-uptime-web")
    assert Settings.from_environment({variable: variables[variable]}) == Settings.from_environment(
        {}
    )


def test_services_of_all_these_names_may_exist_at_once() -> None:
    environment = {name: text for service in SERVICES for name, text in links(service).items()}
    environment[f"{PREFIX}PARTITIONS"] = "3"
    assert Settings.from_environment(environment) == Settings.from_environment({}, partitions=3)


def test_a_setting_that_a_service_hides_is_reported() -> None:
    """Kubernetes writes STORE_UPTIME_API_PORT where the pod does not set it."""
    (line,) = links_instead_of_settings(links("store-uptime-api"))
    assert line.startswith(
        "STORE_UPTIME_API_PORT=tcp://10.0.0.1:8000 is an address that Kubernetes made of the "
        "service store-uptime-api, and no setting"
    )
    assert "enableServiceLinks: false" in line
    assert links_instead_of_settings(links("store-uptime")) == []


def test_a_variable_of_the_pod_wins_over_that_of_a_service() -> None:
    environment = links("store-uptime-api") | {f"{PREFIX}API_PORT": "80"}
    assert Settings.from_environment(environment).api_port == 80
    assert links_instead_of_settings(environment) == []


def refusal(environment: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(environment)
    return str(refused.value)


def test_an_address_without_such_a_service_is_a_bad_value() -> None:
    text = refusal({f"{PREFIX}API_PORT": "tcp://0.0.0.0:80"})
    assert text.startswith(
        f"{PREFIX}API_PORT='tcp://0.0.0.0:80': not a whole number; if Kubernetes"
    )


@pytest.mark.parametrize(
    ("name", "text", "near"),
    [
        ("PORT", "8000", "API_PORT"),
        ("API_PROT", "8000", "API_PORT"),
        ("HOST", "0.0.0.0", "API_HOST"),  # noqa: S104  a text
        ("APIPORT", "8000", "API_PORT"),
        ("API_HOSTS", "::", "API_HOST"),
        ("WORKER_PORTS", "1", "WORKER_PORT"),
        ("partitions", "3", "PARTITIONS"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1", "KAFKA_BOOTSTRAP"),
        ("BOOTSTRAP", "a:1", "KAFKA_BOOTSTRAP"),
        ("KAFKA_SASL_PASSWORD_FIL", "/x", "KAFKA_SASL_PASSWORD_FILE"),
        ("KAFKA_TLS_CERT", "/x", "KAFKA_TLS_CERT_FILE"),
        ("API_PORT_FILE", "/x", "API_PORT"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest_one(name: str, text: str, near: str) -> None:
    assert refusal(links("store-uptime") | {PREFIX + name: text}) == (
        f"{PREFIX}{name} is no setting; was {PREFIX}{near} meant?"
    )


def test_a_name_unlike_any_setting_is_refused() -> None:
    assert refusal({f"{PREFIX}ZZZZZ": "1"}).startswith(f"{PREFIX}ZZZZZ is no setting; ")


def test_a_child_sees_the_same_settings_beside_the_same_services() -> None:
    environment = links("store-uptime-api")
    settings = Settings.from_environment(environment, api_port=81)
    assert Settings.from_environment(environment_of(settings, environment)) == settings


def test_the_command_reports_a_hidden_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in links("store-uptime-api").items():
        monkeypatch.setenv(name, text)
    shown = CliRunner().invoke(cli, ["settings"])
    assert shown.exit_code == 0
    assert "STORE_UPTIME_API_PORT=tcp://10.0.0.1:8000 is an address that Kubernetes" in shown.stderr
    assert "(default)  port of the API" in shown.stdout
