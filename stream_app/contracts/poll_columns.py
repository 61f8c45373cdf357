"""Decodes many single polls at once, each part of the records as one column of numpy.

It reads single polls as `encode_poll` and `encode_poll_batch` write them, byte for byte, in a tenth
of the time that `decode_packed_polls` takes for one record after the other. It says nothing about
any other value, good or bad: `decode_packed_polls` decides about these. A property test holds both
to each other.
"""

from __future__ import annotations

from itertools import compress
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from stream_app.contracts.fields import status_name
from stream_app.domain.timestamps import LATEST, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Decode = Callable[[NDArray[Any]], tuple[NDArray[np.int64], NDArray[np.bool_]]]

_HEAD: Final = b'{"store_id":"'
_TIME_BYTES: Final = len("2024-03-10T12:00:00")
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
    """One way to write a single poll, of which every value has the same length.

    Attributes:
        layout: the parts of a value.
        texts: the parts that are the same in every value.
        decode: decodes the other parts of all values into packed polls, and says which are good.
    """

    layout: np.dtype[Any]
    texts: dict[str, bytes]
    decode: Decode


def _form(decode: Decode, **parts: bytes | int) -> _Form:
    """Make a form.

    Args:
        decode: see `_Form`.
        parts: the parts behind the store, in order: texts, and the lengths of other parts.
    """
    texts = {name: part for name, part in parts.items() if isinstance(part, bytes)}
    layout: list[Any] = [
        ("head", f"S{len(_HEAD)}"),
        ("store_id", "S36"),
        *(
            (name, f"S{len(part)}") if isinstance(part, bytes) else (name, "u1", (part,))
            for name, part in parts.items()
        ),
    ]
    return _Form(np.dtype(layout), {"head": _HEAD, **texts}, decode)


def _poll_form(*, active: bool, fraction_bytes: int) -> _Form:
    """Make a form of `encode_poll`."""

    def decode(table: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        instants, good = _instants(table["time"], table["fraction"])
        return instants << 1 | active, good

    middle = f'","status":"{status_name(active)}","timestamp_utc":"'
    return _form(
        decode,
        middle=middle.encode(),
        time=_TIME_BYTES,
        fraction=fraction_bytes,
        tail=b'Z"}',
    )


def _decode_batch_of_one(
    table: NDArray[Any],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Decode values that `encode_poll_batch` wrote for one poll."""
    digits = np.ascontiguousarray(table["instant"].T) - ord("0")
    instants = np.zeros(len(table), np.int64)
    for pair in _pairs(digits):
        instants = instants * 100 + pair
    active = table["active"][:, 0] - ord("0")
    # a number does not begin with a zero
    good = (digits <= 9).all(axis=0) & (digits[0] > 0) & (active <= 1) & (instants < LATEST)
    return instants << 1 | active, good


_FORMS: Final = (
    *(
        _poll_form(active=active, fraction_bytes=fraction_bytes)
        for active in (False, True)
        for fraction_bytes in (0, len(".123456"))
    ),
    # of the times from 2001 on, as the API writes a poll
    _form(
        _decode_batch_of_one,
        middle=b'","polls":[[',
        instant=len("1710072000000000"),
        comma=b",",
        active=1,
        tail=b"]]}",
    ),
)


def decode_poll_columns(values: Sequence[bytes | None]) -> PollColumns:
    """Decode the single polls that are written as our own functions do; leave all others out."""
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
    polls, good = form.decode(table)
    for part, text in form.texts.items():
        good &= table[part] == text
    return PollColumns(indexes, table["store_id"].tolist(), polls).only(good)


def _instants(
    time: NDArray[np.uint8], fraction: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the times of all values in µs, and which of them are times from 1970 to 2100.

    Args:
        time: for each value, its time as 19 characters, up to the second.
        fraction: for each value, a point and six digits, or nothing.
    """
    # a row for each character, so that each step runs over neighbours in memory
    time, fraction = np.ascontiguousarray(time.T), np.ascontiguousarray(fraction.T)
    good = np.ones(time.shape[1], np.bool_)
    for place, character in _PUNCTUATION:
        good &= time[place] == character
    # characters below a zero wrap around to large numbers
    digits = time[list(_DIGITS)] - ord("0")
    good &= (digits <= 9).all(axis=0)
    century, year, month, day, hour, minute, second = _pairs(digits)
    months = (century * 100 + year - 1970) * 12 + month - 1
    first_day = _day_of(months)
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= _day_of(months + 1) - first_day)
    good &= (hour < 24) & (minute < 60) & (second < 60)
    seconds = (((first_day + day - 1) * 24 + hour) * 60 + minute) * 60 + second
    instants = seconds * SECOND
    if len(fraction):
        digits = fraction[1:] - ord("0")
        good &= (fraction[0] == ord(".")) & (digits <= 9).all(axis=0)
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
