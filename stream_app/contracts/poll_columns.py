"""Decodes many single polls at once, each part of the records as one column of numpy.

It reads the form that `encode_poll` writes, byte for byte, in a twentieth of the time that
`decode_packed_polls` takes for one record after the other. It says nothing about any other value,
good or bad: `decode_packed_polls` decides about these. A property test holds both to each other.
"""

from __future__ import annotations

from itertools import compress
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from stream_app.contracts.fields import status_name
from stream_app.domain.timestamps import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_HEAD: Final = b'{"store_id":"'
_MIDDLE: Final = '","status":"{}","timestamp_utc":"'
_TAIL: Final = b'Z"}'

_TIME_BYTES: Final = len("2024-03-10T12:00:00")
_FRACTION_BYTES: Final = len(".123456")
_DIGITS: Final = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_PUNCTUATION: Final = tuple(zip((4, 7, 10, 13, 16), b"--T::", strict=True))


class PollColumns(NamedTuple):
    """Single polls of any stores.

    Attributes:
        indexes: the place of each poll's value among the values that were read.
        store_ids: the store of each poll, as 36 bytes; whether it is a UUID is not looked at.
        polls: the polls, packed as `domain.polls` has it.
    """

    indexes: NDArray[np.intp]
    store_ids: list[bytes]
    polls: NDArray[np.int64]

    def only(self, these: NDArray[np.bool_]) -> PollColumns:
        """Return the polls that are marked."""
        if these.all():
            return self
        store_ids = list(compress(self.store_ids, these.tolist()))
        return PollColumns(self.indexes[these], store_ids, self.polls[these])


class _Form(NamedTuple):
    """One way to write a single poll, of which every value has the same length."""

    active: bool
    has_fraction: bool
    middle: bytes
    layout: np.dtype[Any]


def _form(*, active: bool, has_fraction: bool) -> _Form:
    middle = _MIDDLE.format(status_name(active)).encode()
    layout = np.dtype(
        [
            ("head", f"S{len(_HEAD)}"),
            ("store_id", "S36"),
            ("middle", f"S{len(middle)}"),
            ("time", "u1", (_TIME_BYTES,)),
            ("fraction", "u1", (_FRACTION_BYTES if has_fraction else 0,)),
            ("tail", f"S{len(_TAIL)}"),
        ]
    )
    return _Form(active, has_fraction, middle, layout)


_FORMS: Final = tuple(
    _form(active=active, has_fraction=has_fraction)
    for active in (False, True)
    for has_fraction in (False, True)
)


def decode_poll_columns(values: Sequence[bytes | None]) -> PollColumns:
    """Decode the values that are written as `encode_poll` writes them; leave the others out."""
    lengths = np.fromiter((len(value or b"") for value in values), np.int64, len(values))
    decoded = [
        _decode(form, indexes, values)
        for form in _FORMS
        if (indexes := np.flatnonzero(lengths == form.layout.itemsize)).size
    ]
    if not decoded:
        return PollColumns(np.empty(0, np.intp), [], np.empty(0, np.int64))
    return PollColumns(
        np.concatenate([columns.indexes for columns in decoded]),
        [store_id for columns in decoded for store_id in columns.store_ids],
        np.concatenate([columns.polls for columns in decoded]),
    )


def _decode(form: _Form, indexes: NDArray[np.intp], values: Sequence[bytes | None]) -> PollColumns:
    """Decode the values that have the length of a form."""
    places = indexes.tolist()
    of_form: Any = itemgetter(*places)(values) if len(places) > 1 else (values[places[0]],)
    table = np.frombuffer(b"".join(of_form), form.layout)
    instants, is_time = _instants(table, has_fraction=form.has_fraction)
    good = (
        (table["head"] == _HEAD)
        & (table["middle"] == form.middle)
        & (table["tail"] == _TAIL)
        & is_time
    )
    polls = instants << 1 | form.active
    return PollColumns(indexes, table["store_id"].tolist(), polls).only(good)


def _instants(
    table: NDArray[Any], *, has_fraction: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the times of all values in µs, and which of them are times from 1970 to 2100."""
    # a row for each character, so that each step runs over neighbours in memory
    time = np.ascontiguousarray(table["time"].T)
    good = np.ones(len(table), np.bool_)
    for place, character in _PUNCTUATION:
        good &= time[place] == character
    digits = time - ord("0")
    # what is below a zero has wrapped around
    good &= (digits[list(_DIGITS)] <= 9).all(axis=0)
    century, year, month, day, hour, minute, second = _pairs(digits[list(_DIGITS)])
    months = (century * 100 + year - 1970) * 12 + month - 1
    first_day = _day_of(months)
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= _day_of(months + 1) - first_day)
    good &= (hour < 24) & (minute < 60) & (second < 60)
    seconds = (((first_day + day - 1) * 24 + hour) * 60 + minute) * 60 + second
    instants = seconds * 1_000_000
    if has_fraction:
        fraction = np.ascontiguousarray(table["fraction"].T)
        good &= fraction[0] == ord(".")
        digits = fraction[1:] - ord("0")
        good &= (digits <= 9).all(axis=0)
        first, middle, last = _pairs(digits)
        instants += first * 10_000 + middle * 100 + last
    good &= (instants >= 0) & (instants < LATEST)
    return instants, good


def _pairs(digits: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers that two digits each make."""
    for place in range(0, len(digits), 2):
        yield digits[place].astype(np.int64) * 10 + digits[place + 1]


def _day_of(months: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the days from 1970 to the first day of a month, which is counted from January 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
