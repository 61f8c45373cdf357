"""Finds the input files of a folder by their usual names, else by their header.

Every file that looks like input is used or listed in a note, or an error names the option to use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from producers.csv_replay.file_format import printed
from producers.csv_replay.header import kinds_of
from producers.csv_replay.table import HOURS, KINDS, POLLS, ZONES, Kind
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

USUAL_NAMES: Final = {
    POLLS.name: ("store_status", "status", "polls"),
    HOURS.name: ("store_business_hours", "business_hours", "menu_hours", "store_hours", "hours"),
    ZONES.name: ("store_timezones", "store_timezone", "timezones", "timezone"),
}
"""Usual names of the files of each kind; case, spaces, underscores and hyphens are ignored."""

MAX_LISTED_FILES: Final = 20
"""Unused files that are listed one by one."""

_CSV: Final = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)

_OTHER_DATA: Final = re.compile(
    r"\.(tsv|tab|txt|json|jsonl|ndjson|xlsx?|ods|parquet|avro|orc|feather|arrow|zip|7z|rar|tar|tgz"
    r"|gz|bz2|xz|zst|lz4|sqlite|db)$",
    re.IGNORECASE,
)
"""Names of files that can hold rows in a format that a replay does not read."""

_SHARD: Final = re.compile(r"-?(?<!\d)(0000\d{8})$|^part-\d{5}\b.*$")
"""Names of the parts of an exported table: NAME-000000000000, part-00000-...."""


@dataclass(slots=True)
class FolderFiles:
    """The input files of a folder by kind, and notes about its unused files."""

    paths: dict[str, list[Path]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A CSV file with the table and the part that its name says."""

    path: Path
    table: str
    shard: str


def find_files(folder: Path, named: dict[str, Sequence[Path]]) -> FolderFiles:
    """Find the input files of a folder.

    Args:
        folder: the folder; its subfolders are not searched.
        named: the files that the user named by an option, by kind. They are not used twice; named
            hours or timezones replace those of the folder.

    Raises:
        StoreUptimeError: the folder has no input file, or the choice is ambiguous.
    """
    return _Folder(folder, named).find()


class _Folder:
    def __init__(self, folder: Path, named: dict[str, Sequence[Path]]) -> None:
        self._folder = folder
        self._named = named
        self._skipped: list[str] = []
        self._has_named = False

    def find(self) -> FolderFiles:
        by_name: dict[str, list[_Candidate]] = {kind: [] for kind in KINDS}
        others: list[_Candidate] = []
        for candidate in self._candidates():
            usual = _kind_by_name(candidate.table)
            (others if usual is None else by_name[usual]).append(candidate)
        by_header = self._by_header(others, by_name)
        paths: dict[str, list[Path]] = {}
        for kind in KINDS.values():
            candidates = by_name[kind.name] or by_header[kind.name]
            if kind is not POLLS and self._named.get(kind.name):
                self._skip(candidates, f"{kind.option} names the {kind.words} to send")
                continue
            self._check_one_table(kind, candidates)
            paths[kind.name] = [candidate.path for candidate in candidates]
        if not any(paths.values()) and not self._has_named:
            raise StoreUptimeError(self._no_files())
        return FolderFiles(paths, self._notes())

    def _candidates(self) -> list[_Candidate]:
        """Return the CSV files of the folder, each once."""
        named = {_identity(path) for paths in self._named.values() for path in paths}
        known: set[tuple[int, int] | str] = set()
        candidates: list[_Candidate] = []
        for path in self._entries():
            if not _may_hold_rows(path):
                continue
            identity = _identity(path)
            if identity in named:
                self._has_named = True
                continue
            reason = _why_unusable(path)
            if reason is None and identity in known:
                reason = "the same file as another one here"
            if reason is not None:
                self._skipped.append(f"{printed(Path(path.name))} ({reason})")
                continue
            known.add(identity)
            table, shard = _table_and_shard(path.name)
            candidates.append(_Candidate(path, table, shard))
        return candidates

    def _entries(self) -> list[Path]:
        try:
            # a file comes before a link to it
            return sorted(self._folder.iterdir(), key=lambda path: (path.is_symlink(), path))
        except OSError as error:
            name = printed(self._folder)
            raise StoreUptimeError(f"{name}: cannot be read: {error.strerror or error}") from None

    def _by_header(
        self, others: Sequence[_Candidate], by_name: dict[str, list[_Candidate]]
    ) -> dict[str, list[_Candidate]]:
        """Return the files with unusual names, by the kind of their header.

        They are not used if files of the same kind have one of the usual names.
        """
        by_header: dict[str, list[_Candidate]] = {kind: [] for kind in KINDS}
        for candidate in others:
            kinds = kinds_of(candidate.path)
            if len(kinds) > 1:
                raise StoreUptimeError(
                    f"{printed(candidate.path)}: has the columns of "
                    f"{' and of '.join(kind.words for kind in kinds)}: name it with "
                    f"{' or '.join(kind.option for kind in kinds)}, or remove it"
                )
            if not kinds:
                self._skip([candidate], "not the columns of polls, hours or timezones")
            elif by_name[kinds[0].name]:
                usual = printed(Path(by_name[kinds[0].name][0].path.name))
                self._skip(
                    [candidate], f"{kinds[0].words}, as {usual}; {kinds[0].option} sends it too"
                )
            else:
                by_header[kinds[0].name].append(candidate)
        return by_header

    def _check_one_table(self, kind: Kind, candidates: Sequence[_Candidate]) -> None:
        """Raise an error for two files of hours or of timezones: they may contradict."""
        by_part: dict[tuple[str, str], Path] = {}
        for candidate in candidates:
            before = by_part.setdefault((candidate.table, candidate.shard), candidate.path)
            if before is not candidate.path:
                self._raise_ambiguous(kind, before, candidate.path)
        if kind is POLLS:
            return
        tables = {
            (candidate.table, bool(candidate.shard)): candidate.path for candidate in candidates
        }
        if len(tables) > 1:
            first, second, *_ = tables.values()
            self._raise_ambiguous(kind, first, second)

    def _raise_ambiguous(self, kind: Kind, first: Path, second: Path) -> None:
        raise StoreUptimeError(
            f"{printed(self._folder)} has {printed(Path(first.name))} and "
            f"{printed(Path(second.name))}, both {kind.words}: name the right one with "
            f"{kind.option}, or remove one"
        )

    def _skip(self, candidates: Sequence[_Candidate], reason: str) -> None:
        self._skipped += [
            f"{printed(Path(candidate.path.name))} ({reason})" for candidate in candidates
        ]

    def _notes(self) -> list[str]:
        notes = [f"not used: {what}" for what in self._skipped[:MAX_LISTED_FILES]]
        if len(self._skipped) > MAX_LISTED_FILES:
            notes.append(
                f"... and {len(self._skipped) - MAX_LISTED_FILES:,} more files that are not used"
            )
        return notes

    def _no_files(self) -> str:
        examples = ", ".join(f"{names[0]}.csv" for names in USUAL_NAMES.values())
        text = (
            f"{printed(self._folder)} has no CSV of polls, hours or timezones, such as {examples}"
        )
        if self._skipped:
            text += "; not used: " + ", ".join(self._skipped[:MAX_LISTED_FILES])
        return text


def _may_hold_rows(path: Path) -> bool:
    """Return True if a file may be meant as input; files that macOS adds are not."""
    if path.name.startswith("._"):
        return False
    if _CSV.search(path.name):
        return True
    if path.name.startswith("."):
        return False
    if path.is_dir():
        try:
            return any(_CSV.search(inner.name) for inner in path.iterdir())
        except OSError:
            return True
    table, _ = _table_and_shard(path.name)
    return _OTHER_DATA.search(path.name) is not None or _kind_by_name(table) is not None


def _why_unusable(path: Path) -> str | None:
    """Return the reason why a file cannot be used, whatever it holds; None if it must be read."""
    if path.is_dir():
        return "a folder: its files are not used"
    if not _CSV.search(path.name):
        return "not named .csv or .csv.gz"
    if path.name.startswith("."):
        return "hidden"
    if path.exists() and not path.is_file():
        return "no regular file"
    return None


def _table_and_shard(name: str) -> tuple[str, str]:
    stem = _CSV.sub("", name)
    if _CSV.search(name) is None:
        stem = name.partition(".")[0]
    shard = _SHARD.search(stem)
    if shard is None:
        return _plain(stem), ""
    return _plain(stem[: shard.start()]), shard[1] or stem


def _kind_by_name(table: str) -> str | None:
    for kind, names in USUAL_NAMES.items():
        if table in {_plain(name) for name in names}:
            return kind
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def _identity(path: Path) -> tuple[int, int] | str:
    try:
        status = path.stat()
    except OSError:
        return str(path)
    return status.st_dev, status.st_ino
