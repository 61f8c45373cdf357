"""The table of all settings: variable, value, where the value comes from, meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream_app.errors import SettingsError
from stream_app.setting_variables import SettingVariables, service_link_notes, variable_of
from stream_app.settings import SECRETS, VARIABLES, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_MASK: Final = "********"


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One row of `store-uptime settings`."""

    variable: str
    value: str
    origin: str
    help: str


def describe(settings: Settings, environment: Mapping[str, str]) -> list[SettingLine]:
    """List every setting with its value as text and its origin; secrets are masked."""
    variables = Settings.variables(environment)
    unset = Settings.from_environment({})
    lines = []
    for name, text in settings.model_dump().items():
        shown = (_MASK if text else "") if name in SECRETS else text
        origin = _origin(name, getattr(settings, name), variables, getattr(unset, name))
        lines.append(SettingLine(variable_of(name), str(shown), origin, _meaning(name)))
    return lines


def defaults() -> list[SettingLine]:
    """List every setting with its default, as it is documented."""
    return [
        SettingLine(variable_of(name), field.default, "default", _meaning(name))
        for name, field in Settings.model_fields.items()
    ]


def links_instead_of_settings(environment: Mapping[str, str]) -> list[str]:
    """Write one line for each setting whose variable Kubernetes made of a service: it is unused."""
    return service_link_notes(environment, VARIABLES)


def texts_of(settings: Settings) -> dict[str, str]:
    """Write every setting as the text of its variable, secrets too."""
    return {variable_of(name): str(text) for name, text in settings.model_dump().items()}


def _meaning(name: str) -> str:
    return Settings.model_fields[name].description or ""


def _origin(name: str, value: object, variables: SettingVariables, default: object) -> str:
    """Say where a value comes from: what the environment does not say, an option said."""
    variable = variable_of(name)
    if variable in variables.files:
        return f"file {variables.files[variable]}"
    text = variables.texts.get(variable)
    if text is None:
        return "default" if value == default else "option"
    try:
        alone = Settings.read(SettingVariables({variable: text}, {}, ()), {})
    except SettingsError:
        # an option replaces a value of the environment that cannot be used
        return "option"
    return "environment" if value == getattr(alone, name) else "option"
