"""The input files of a folder: by their usual names, else by what their header says.

Nothing that looks like input is left out without a word: it is taken, named, or an error that says
which option to use.
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
"""What files of each kind are called, case, spaces, underscores and hyphens aside."""

NAMED: Final = 20
"""Files left out that are named one by one."""

_CSV: Final = re.compile(r"\.csv(\.gz)?$", re.IGNORECASE)

_OTHER_DATA: Final = re.compile(
    r"\.(tsv|tab|txt|json|jsonl|ndjson|xlsx?|ods|parquet|avro|orc|feather|arrow|zip|7z|rar|tar|tgz"
    r"|gz|bz2|xz|zst|lz4|sqlite|db)$",
    re.IGNORECASE,
)
"""Names of files that may well hold rows, in forms that are not read here."""

_SHARD: Final = re.compile(r"-?(?<!\d)(0000\d{8})$|^part-\d{5}\b.*$")
"""The parts into which exporters cut a table: NAME-000000000000, part-00000-...."""


@dataclass(slots=True)
class FolderFiles:
    """What is taken of a folder, by the name of its kind, and what is said about the rest."""

    taken: dict[str, list[Path]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A CSV file: the table that its name says, and which part of it."""

    path: Path
    table: str
    shard: str


def find_files(folder: Path, named: dict[str, Sequence[Path]]) -> FolderFiles:
    """The input files of a folder.

    Args:
        folder: is not entered further.
        named: the files that were named besides, by the name of their kind. They are not looked
            at again; where hours or zones are named, the folder's are left out.

    Raises:
        StoreUptimeError: the folder has none, or it cannot be said which ones are meant.
    """
    return _Folder(folder, named).find()


class _Folder:
    def __init__(self, folder: Path, named: dict[str, Sequence[Path]]) -> None:
        self._folder = folder
        self._named = named
        self._left_out: list[str] = []
        self._has_named = False

    def find(self) -> FolderFiles:
        by_name: dict[str, list[_Candidate]] = {kind: [] for kind in KINDS}
        others: list[_Candidate] = []
        for candidate in self._candidates():
            usual = _kind_by_name(candidate.table)
            (others if usual is None else by_name[usual]).append(candidate)
        by_header = self._by_header(others, by_name)
        taken: dict[str, list[Path]] = {}
        for kind in KINDS.values():
            candidates = by_name[kind.name] or by_header[kind.name]
            if kind is not POLLS and self._named.get(kind.name):
                self._leave_out(candidates, f"{kind.option} says which {kind.name} count")
                continue
            self._check_one_table(kind, candidates)
            taken[kind.name] = [candidate.path for candidate in candidates]
        if not any(taken.values()) and not self._has_named:
            raise StoreUptimeError(self._nothing())
        return FolderFiles(taken, self._notes())

    def _candidates(self) -> list[_Candidate]:
        """The CSV files, each once."""
        named = {_identity(path) for paths in self._named.values() for path in paths}
        known: set[tuple[int, int] | str] = set()
        found: list[_Candidate] = []
        for path in self._entries():
            if not _may_hold_rows(path):
                continue
            identity = _identity(path)
            if identity in named:
                self._has_named = True
                continue
            reason = _why_not(path)
            if reason is None and identity in known:
                reason = "the same file as another one here"
            if reason is not None:
                self._left_out.append(f"{printed(Path(path.name))} ({reason})")
                continue
            known.add(identity)
            table, shard = _table_and_shard(path.name)
            found.append(_Candidate(path, table, shard))
        return found

    def _entries(self) -> list[Path]:
        try:
            # of a file and a link to it the file
            return sorted(self._folder.iterdir(), key=lambda path: (path.is_symlink(), path))
        except OSError as error:
            name = printed(self._folder)
            raise StoreUptimeError(f"{name}: cannot be read: {error.strerror or error}") from None

    def _by_header(
        self, others: Sequence[_Candidate], by_name: dict[str, list[_Candidate]]
    ) -> dict[str, list[_Candidate]]:
        """The files with names that say nothing, by the kind that their header tells.

        Where files of that kind have one of the usual names, these are meant.
        """
        found: dict[str, list[_Candidate]] = {kind: [] for kind in KINDS}
        for candidate in others:
            kinds = kinds_of(candidate.path)
            if len(kinds) > 1:
                raise StoreUptimeError(
                    f"{printed(candidate.path)}: has the columns of "
                    f"{' and of '.join(kind.name for kind in kinds)}: name it with "
                    f"{' or '.join(kind.option for kind in kinds)}, or take it away"
                )
            if not kinds:
                self._leave_out([candidate], "not the columns of polls, hours or zones")
            elif by_name[kinds[0].name]:
                usual = printed(Path(by_name[kinds[0].name][0].path.name))
                self._leave_out(
                    [candidate], f"{kinds[0].name}, as {usual}; {kinds[0].option} takes it too"
                )
            else:
                found[kinds[0].name].append(candidate)
        return found

    def _check_one_table(self, kind: Kind, candidates: Sequence[_Candidate]) -> None:
        """Of hours and zones a store has one set: two files of them are one too many."""
        by_part: dict[tuple[str, str], Path] = {}
        for candidate in candidates:
            before = by_part.setdefault((candidate.table, candidate.shard), candidate.path)
            if before is not candidate.path:
                self._two(kind, before, candidate.path)
        if kind is POLLS:
            return
        tables = {
            (candidate.table, bool(candidate.shard)): candidate.path for candidate in candidates
        }
        if len(tables) > 1:
            first, second, *_ = tables.values()
            self._two(kind, first, second)

    def _two(self, kind: Kind, first: Path, second: Path) -> None:
        raise StoreUptimeError(
            f"{printed(self._folder)} has {printed(Path(first.name))} and "
            f"{printed(Path(second.name))}, both {kind.name}: name what is meant with "
            f"{kind.option}, or take one away"
        )

    def _leave_out(self, candidates: Sequence[_Candidate], reason: str) -> None:
        self._left_out += [
            f"{printed(Path(candidate.path.name))} ({reason})" for candidate in candidates
        ]

    def _notes(self) -> list[str]:
        notes = [f"not taken: {what}" for what in self._left_out[:NAMED]]
        if len(self._left_out) > NAMED:
            notes.append(f"... and {len(self._left_out) - NAMED:,} more files that are not taken")
        return notes

    def _nothing(self) -> str:
        examples = ", ".join(f"{names[0]}.csv" for names in USUAL_NAMES.values())
        text = f"{printed(self._folder)} has no CSV of polls, hours or zones, such as {examples}"
        if self._left_out:
            text += "; not taken: " + ", ".join(self._left_out[:NAMED])
        return text


def _may_hold_rows(path: Path) -> bool:
    """Whether something in the folder may be meant as input; what macOS adds to files is not."""
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


def _why_not(path: Path) -> str | None:
    """Why it cannot be taken, whatever it holds; None: reading it tells."""
    if path.is_dir():
        return "a folder: its files are not looked at"
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
