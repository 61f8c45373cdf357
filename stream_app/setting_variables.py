"""The variables of an environment that are settings: their names, and secrets that stand in files.

A variable that has the prefix and is no setting is refused, which pydantic-settings does not do: a
misspelt name must not be a silent default.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from stream_app.errors import SettingsError
from stream_app.secret_files import ENDING, read_secret
from stream_app.service_links import is_address, is_service_link, service_name
from stream_app.setting_values import parse_path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

PREFIX: Final = "STORE_UPTIME_"

_LINK_HINT: Final = (
    "; if Kubernetes made it of a service, write the setting into the pod's env, or say "
    "`enableServiceLinks: false` there"
)


def variable_of(name: str) -> str:
    """Make the name of the variable of a setting."""
    return PREFIX + name.upper()


@dataclass(frozen=True, slots=True)
class SettingVariables:
    """The settings of an environment as texts.

    Attributes:
        texts: the texts by variable; those of secrets in files too.
        files: the paths of those files by the secret's variable.
        secrets: the variables of all secrets.
    """

    texts: Mapping[str, str]
    files: Mapping[str, str]
    secrets: Collection[str]

    @classmethod
    def of(
        cls, environment: Mapping[str, str], names: Collection[str], secrets: Collection[str]
    ) -> SettingVariables:
        """Take what is a setting from an environment.

        Args:
            environment: all variables. Those that Kubernetes made of its services are left out.
            names: the names of all settings.
            secrets: the names of those that may stand in a file.

        Raises:
            SettingsError: a variable has the prefix and is no setting, or a file cannot be read.
        """
        known = known_variables(names, secrets)
        texts: dict[str, str] = {}
        for variable, text in environment.items():
            if not variable.startswith(PREFIX) or is_service_link(variable, environment, known):
                continue
            if variable not in known:
                raise SettingsError(f"{variable} is no setting; {_what_was_meant(variable, known)}")
            texts[variable] = text
        secret_variables = [variable_of(name) for name in secrets]
        files = {
            variable: texts.pop(variable + ENDING)
            for variable in secret_variables
            if variable + ENDING in texts
        }
        for variable, path in files.items():
            texts[variable] = _read_file(variable, path, texts.get(variable, ""))
        return cls(texts, files, secret_variables)

    def error_of(self, variable: str, text: object, reason: object) -> SettingsError:
        """Make the error, in one line, of a value that cannot be used.

        Args:
            variable: the setting's variable.
            text: its value; a secret is not shown.
            reason: the reason why it cannot be used.
        """
        if variable in self.files:
            shown = f"{ENDING}={self.files[variable]!r}"
        else:
            shown = "" if variable in self.secrets else f"={text!r}"
        hint = _LINK_HINT if is_address(str(text)) else ""
        return SettingsError(f"{variable}{shown}: {reason}{hint}")


def known_variables(names: Collection[str], secrets: Collection[str]) -> list[str]:
    """List the names of all variables that are settings, with those of the files of secrets."""
    known = []
    for name in names:
        variable = variable_of(name)
        known += [variable, variable + ENDING] if name in secrets else [variable]
    return known


def service_link_notes(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Write one line for each setting whose variable Kubernetes made of a service: it is unused."""
    return [
        f"{variable}={text} is an address that Kubernetes made of the service "
        f"{service_name(variable)}, and no setting: write the setting into the pod's env to change "
        "it, or say `enableServiceLinks: false` there"
        for variable, text in environment.items()
        if variable in known and is_service_link(variable, environment, known)
    ]


def _read_file(variable: str, path: str, text: str) -> str:
    """Read the secret in a file; `text` is what the variable of the secret itself has."""
    try:
        return _secret_of(path, text)
    except ValueError as error:
        raise SettingsError(f"{variable}{ENDING}={path!r}: {error}") from None


def _secret_of(path: str, text: str) -> str:
    if text:
        raise ValueError("the variable without _FILE is set too: leave one of them out")
    return read_secret(parse_path(path))


def _what_was_meant(variable: str, known: list[str]) -> str:
    names = [name.removeprefix(PREFIX) for name in known]
    given = variable.removeprefix(PREFIX).upper()
    longer = [name for name in names if set(given.split("_")) <= set(name.split("_"))]
    near = longer or get_close_matches(given, names, n=1)
    if near:
        return f"was {PREFIX}{near[0]} meant?"
    return "`store-uptime settings` lists them all where it is not set"
