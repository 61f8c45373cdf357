"""Checks the values of results by the published models where a result is read.

Headers, CSV, Parquet and pages are made of these values. One of a wrong type, or a text with a line
break in it, would be an answer that ends in the middle, or none at all. A field that is missing is
no error in a report or a row, since earlier versions wrote fewer, and an unknown column may have
any value that fits in a row.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Final, NotRequired, get_args, get_origin, get_type_hints

from pydantic import FailFast, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from stream_app.contracts.report_schemas import (
    ColumnNames,
    Flag,
    FleetRow,
    PieceHead,
    SettingsUsed,
    StoreReport,
    Text,
    WrittenDate,
    WrittenInstant,
)
from stream_app.errors import RecordError

_SHOWN: Final = 190
"""The number of characters of a reason, which a failed report or a dead letter shows."""


def _field_types(*models: Any) -> dict[str, Any]:
    """Return the types of the fields of some models, by name, required or not."""
    return {
        name: get_args(hint)[0] if get_origin(hint) is NotRequired else hint
        for model in models
        for name, hint in get_type_hints(model, include_extras=True).items()
    }


COLUMN_TYPES: Final = _field_types(*get_args(FleetRow)) | {"reference_time": WrittenInstant}
"""The types of the values that a row may show, by the names that this version knows."""

INSTANT_COLUMNS: Final = frozenset(
    name for name, hint in COLUMN_TYPES.items() if hint is WrittenInstant
)
"""The columns whose values are instants."""

DATE_COLUMNS: Final = frozenset(name for name, hint in COLUMN_TYPES.items() if hint is WrittenDate)
"""The columns whose values are local dates."""

_LaterValue = Text | Annotated[float, Field(strict=True, allow_inf_nan=False)] | Flag | None
"""The type of a column of a later version."""

_Row = TypedDict("_Row", COLUMN_TYPES, total=False)  # type: ignore[misc]  # fields of the models
_Report = TypedDict(  # type: ignore[misc]  # as above
    "_Report", _field_types(*get_args(StoreReport)) | {"days": list[_Row]}, total=False
)
_Settings = TypedDict(  # type: ignore[misc]  # as above
    "_Settings", _field_types(SettingsUsed), total=False
)

_REPORT: Final[TypeAdapter[Any]] = TypeAdapter(_Report)
_PIECE_HEAD: Final = TypeAdapter(PieceHead)
_SETTINGS: Final[TypeAdapter[Any]] = TypeAdapter(_Settings)
_NAMES: Final = TypeAdapter(ColumnNames)


def column_type(name: str) -> type:
    """Return the type of a column's values in JSON: str, int or float, beside null.

    A column of a later version is a text.
    """
    return _scalar(COLUMN_TYPES.get(name, Text))


def _scalar(hint: Any) -> type:
    return hint if isinstance(hint, type) else _scalar(get_args(hint)[0])


def validate_report(report: dict[str, Any], columns: tuple[str, ...]) -> None:
    """Check the `report` of a complete event.

    Args:
        report: the fields.
        columns: the columns of its CSV.

    Raises:
        RecordError: a value has another type, or a column has no value.
    """
    validate_columns(columns)
    _validate(_REPORT, report, "the report")
    rows = report.get("days", [report])
    for row in rows:
        missing = [column for column in columns if column not in row and column not in report]
        if missing:
            raise RecordError(f"a report without {missing[0]}")
    unknown = [column for column in columns if column not in COLUMN_TYPES]
    if unknown:
        values = [{name: row[name] for name in unknown if name in row} for row in [report, *rows]]
        _validate(TypeAdapter(list[dict[str, _LaterValue]]), values, "the report")


def validate_piece_head(piece: dict[str, Any]) -> PieceHead:
    """Return the fields of a chunk, except its rows and its settings, parsed.

    Raises:
        RecordError: one is missing, or it has another type.
    """
    head: PieceHead = _validate(_PIECE_HEAD, piece, "piece")
    validate_columns((*head["columns"], *head["further"]))
    return head


def validate_settings(settings: object) -> None:
    """Check the settings that a chunk was computed with, as far as it has them.

    Raises:
        RecordError: one has another type.
    """
    _validate(_SETTINGS, settings, "basis")


def validate_rows(rows: object, fields: tuple[str, ...]) -> None:
    """Check the rows of a chunk.

    Args:
        rows: lists of values.
        fields: the names of a row's values.

    Raises:
        RecordError: a value has another type, or a row has another number of values.
    """
    _validate(_rows_of(fields), rows, "rows")


def validate_columns(names: tuple[str, ...]) -> None:
    """Check the names of a row's values.

    Raises:
        RecordError: the first one is not `store_id`, or one occurs twice or is no name.
    """
    _validate(_NAMES, list(names), "a name of a column")
    if not names or names[0] != "store_id" or len(set(names)) < len(names):
        raise RecordError("the columns do not begin with store_id, or one is there twice")


@lru_cache(maxsize=32)
def _rows_of(fields: tuple[str, ...]) -> TypeAdapter[Any]:
    types = tuple(COLUMN_TYPES.get(name, _LaterValue) for name in fields)
    rows = list[tuple[types]]  # type: ignore[valid-type]  # as many as there are fields
    return TypeAdapter(Annotated[rows, FailFast()])


def _validate(adapter: TypeAdapter[Any], value: object, what: str) -> Any:
    try:
        return adapter.validate_python(value, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part)[:40] for part in first["loc"][:3])
        reason = f"{what}: {place}: {first['msg']}" if place else f"{what}: {first['msg']}"
        raise RecordError(" ".join(reason.split())[:_SHOWN]) from None
