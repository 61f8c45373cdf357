"""Recognises files that are no CSV in UTF-8 by their first bytes, and says what to do."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES: Final = 4096
"""Bytes at the beginning of a file that are examined."""

_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)

_UNPACK: Final = "unpack it; only plain and gzip files can be read"

_SIGNATURES: Final = (
    (b"PK\x03\x04", f"a zip archive: {_UNPACK}"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"BZh", f"packed by bzip2: {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"packed by xz: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"packed by zstd: {_UNPACK}"),
    (b"\x04\x22\x4d\x18", f"packed by lz4: {_UNPACK}"),
    (b"\xff\x06\x00\x00sNaPpY", f"packed by snappy: {_UNPACK}"),
    (b"\x1f\x9d", f"packed by compress: {_UNPACK}"),
    (b"\x1f\x8b", "a gzip file too: unpack it once"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    (b"Rar!\x1a\x07", f"a RAR archive: {_UNPACK}"),
    (b"PAR1", "Parquet, not CSV: save it as CSV"),
    (b"Obj\x01", "Avro, not CSV: save it as CSV"),
    (b"ORC", "ORC, not CSV: save it as CSV"),
    (b"ARROW1", "Arrow, not CSV: save it as CSV"),
    (b"FEA1", "Feather, not CSV: save it as CSV"),
    (b"SQLite format 3\x00", "a SQLite database, not CSV: export the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook, not CSV: save it as CSV"),
    (b"%PDF", "a PDF, not CSV"),
    (b"\x89PNG", "a picture, not CSV"),
)

_OFFICE_PARTS: Final = (b"[Content_Types].xml", b"_rels/", b"mimetypeapplication/vnd.oasis")

_TAR_MARK: Final = slice(257, 262)

_JSON_START: Final = re.compile(rb'\s*(?:\{\s*["}]|\[\s*[\[{"\]])')

_MARKUP_START: Final = re.compile(rb"\s*<(?:[!?a-zA-Z])")

_QUOTED: Final = re.compile(rb'"[^"]*"')

_PLAIN_TEXT: Final = re.compile(rb"[\t\r\n -~]*")


def why_no_csv(head: bytes) -> str | None:
    """Return an error text that names the format of a file with this beginning; None for CSV."""
    for mark, name in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return f"{name}; save it as UTF-8"
    for signature, what in _SIGNATURES:
        # a column's name may begin like this too, but then no binary data follows
        if head.startswith(signature) and not _PLAIN_TEXT.fullmatch(head):
            if signature == b"PK\x03\x04" and any(part in head for part in _OFFICE_PARTS):
                return "a spreadsheet (Excel or OpenDocument), not CSV: save it as CSV"
            return what
    if head[_TAR_MARK] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    text = head.removeprefix(codecs.BOM_UTF8)
    if _JSON_START.match(text):
        return "JSON, not CSV: save it as CSV, or POST it to /status"
    if _MARKUP_START.match(text):
        return "HTML or XML, not CSV: is it an error page or a login page?"
    return _wrong_text(head)


def _wrong_text(head: bytes) -> str | None:
    line = head.partition(b"\n")[0].rstrip(b"\r")
    if b"\0" in line:
        # in UTF-16 an ASCII character is the character and a NUL byte
        wide = line[1:40:2].strip(b"\0") == b"" or line[0:40:2].strip(b"\0") == b""
        if wide and line.strip(b"\0"):
            return "UTF-16 or UTF-32; save it as UTF-8"
        return "binary, not CSV"
    if b"\r" in _QUOTED.sub(b"", line):
        return "lines that end in a lone carriage return (old Mac): save it with LF or CRLF"
    return None


def printed(path: Path) -> str:
    """Return the path of a file on one line, whatever characters it has."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "replace").decode()
        for char in str(path).encode(errors="backslashreplace").decode()
    )


def same_file(one: Path, other: Path) -> bool:
    """Return True if two paths name the same existing file."""
    try:
        return one.samefile(other)
    except OSError:
        return False
