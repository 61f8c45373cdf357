"""What single values look like."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, with_config

from stream_app.contracts.report_requests import MAX_STORES_NAMED
from stream_app.contracts.stores import MAX_ZONE_LENGTH
from stream_app.domain.timestamps import LATEST

closed: Final = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
"""A form without other fields than its own: so a field that nobody described is found."""

EXAMPLE_STORE: Final = "97dd66d5-660c-48eb-8b5a-792c529ec4dd"
"""A store of the sample data."""

EXAMPLE_REPORT: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

_UUID: Final[dict[str, Any]] = {"format": "uuid"}

Uuid = Annotated[str, Field(json_schema_extra=_UUID)]
StoreId = Annotated[
    str,
    Field(json_schema_extra=_UUID, examples=[EXAMPLE_STORE], description="Which store."),
]
ReportId = Annotated[
    str,
    Field(json_schema_extra=_UUID, examples=[EXAMPLE_REPORT], description="Which report."),
]
Status = Literal["active", "inactive"]
Instant = Annotated[
    str,
    Field(
        # the years that `check_instant` takes
        pattern="^(19[7-9][0-9]|20[0-9]{2})-",
        json_schema_extra={"format": "date-time"},
        examples=["2024-03-10T12:00:00Z"],
    ),
]
Microseconds = Annotated[int, Field(ge=0, lt=LATEST)]
Count = Annotated[int, Field(ge=0)]
Day = Annotated[int, Field(ge=0, le=6)]

_MINUTES: Final = "[0-5][0-9](:[0-5][0-9]([.][0-9]{1,20})?)?"
_CLOCK: Final = f"([01]?[0-9]|2[0-3]):{_MINUTES}"
OpeningTime = Annotated[str, Field(pattern=f"^{_CLOCK}$", examples=["09:00"])]
ClosingTime = Annotated[
    str, Field(pattern=f"^({_CLOCK}|24:00(:00([.]0{{1,20}})?)?)$", examples=["17:00:00"])
]
HoursRow = tuple[Day, OpeningTime, ClosingTime]
"""`[day, start, end]`: 0 is Monday, local times of day."""

ZoneName = Annotated[
    str,
    Field(
        max_length=MAX_ZONE_LENGTH,
        pattern=r"^\s*[^\x00-\x1f\x7f-\x9f]*\s*$",
        examples=["America/Chicago"],
    ),
]
StoreIds = Annotated[list[StoreId], Field(min_length=1, max_length=MAX_STORES_NAMED)]


# what `parse_iso_duration` reads: years and months have no length
_DAYS: Final = "([0-9]{1,6}W([0-9]{1,6}D)?|[0-9]{1,6}D)"
_SECONDS: Final = "[0-9]{1,9}([.][0-9]{1,6})?S"
_TIME: Final = f"([0-9]{{1,6}}H([0-9]{{1,6}}M)?({_SECONDS})?|[0-9]{{1,6}}M({_SECONDS})?|{_SECONDS})"
Duration = Annotated[
    str, Field(pattern=f"^P({_DAYS}|{_DAYS}?T{_TIME})$", examples=["P7D", "PT90M"])
]
Coverage = Annotated[float, Field(ge=0, le=1)] | None
"""The share of open time that some poll backs; null: there is no open time."""
