"""The local database of one partition, and its checkpoint in the changelog.

Every write carries the checkpoint in the same atomic RocksDB write batch. So a database is
always exactly what a prefix of its changelog says, and it says which prefix, whatever crashed
and whenever.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import orjson
import rocksdict
from rocksdict import Options, Rdict, WriteBatch

from stream_app.errors import TableError
from stream_app.worker.facts.keys import CHECKPOINT_KEY, PARTITION_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from stream_app.worker.metrics import RemovalReason

log = logging.getLogger(__name__)

_MIB: Final = 1024 * 1024
_BLOCK_CACHE_BYTES: Final = 8 * _MIB
_WRITE_BUFFER_BYTES: Final = 4 * _MIB
_MAX_WRITE_BUFFERS: Final = 2
_BLOOM_BITS: Final = 10
_MAX_OPEN_FILES: Final = 256
"""Files that one database keeps open; it has a few dozen."""

_END_KEY: Final = b"\xff" * 32
"""A key that is greater than any in a database."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A database's place in its changelog.

    Attributes:
        next_offset: the database holds what all changelog records below this offset say.
        last_offset: the offset of the last record that was applied; -1: none.
        digest: the digest of that record's key and value, to tell this changelog from another one.
    """

    next_offset: int
    last_offset: int
    digest: str

    def encode(self) -> bytes:
        """Return the value under `CHECKPOINT_KEY`."""
        return orjson.dumps([self.next_offset, self.last_offset, self.digest])

    @classmethod
    def decode(cls, value: bytes) -> Checkpoint:
        """Read what `encode` wrote.

        Raises:
            ValueError: it is something else.
        """
        match orjson.loads(value):
            case [int(next_offset), int(last_offset), str(digest)]:
                return cls(next_offset, last_offset, digest)
        raise ValueError(f"{value[:100]!r} is no checkpoint")

    def at(self, next_offset: int) -> Checkpoint:
        """Return the same last record, with more offsets behind it that hold no record."""
        return Checkpoint(next_offset, self.last_offset, self.digest)


START: Final = Checkpoint(0, -1, "")
"""The checkpoint of an empty database."""


def checkpoint_after(offset: int, key: bytes | None, value: bytes | None) -> Checkpoint:
    """Return the checkpoint of a database that has applied the record at an offset."""
    return Checkpoint(offset + 1, offset, record_digest(key, value))


def record_digest(key: bytes | None, value: bytes | None) -> str:
    """Return a digest of a changelog record's content."""
    key, value = key or b"", value or b""
    return blake2b(len(key).to_bytes(4) + key + value, digest_size=16).hexdigest()


class FactsDatabase:
    """One partition's database; opened when it is first used.

    Args:
        partition: the partition number.
        folder: the folder of its files.
        on_removed: called with the reason when the database is removed.
    """

    def __init__(
        self, partition: int, folder: Path, on_removed: Callable[[RemovalReason], None]
    ) -> None:
        self.partition = partition
        self._folder = folder
        self._on_removed = on_removed
        self._rocks: Any = None
        self._checkpoint: Checkpoint | None = None
        self._failure: TableError | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """Return the place of the database in its changelog; a damaged database is removed.

        Raises:
            TableError: the database cannot be opened or read.
        """
        if self._checkpoint is None:
            self._checkpoint = self._read_checkpoint()
        return self._checkpoint

    @property
    def reached(self) -> int:
        """Return the changelog offset of the checkpoint as far as it is known, without any IO."""
        checkpoint = self._checkpoint
        return 0 if checkpoint is None else checkpoint.next_offset

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key.

        Raises:
            TableError: the database cannot be read.
        """
        try:
            value: bytes | None = self._open().get(key)
        except Exception as error:
            raise self.failed(error) from error
        return value

    def scan_stores(
        self, stores: Iterable[bytes], suffixes: Sequence[bytes]
    ) -> Iterator[tuple[bytes, list[bytes | None]]]:
        """Yield the values of some keys of each store, as the database has them at the first one.

        Args:
            stores: the first parts of the keys, in ascending order, read one at a time.
            suffixes: the last parts of the keys of every store, in ascending order.

        Raises:
            TableError: the database cannot be read.
            ValueError: a store is not in order.
        """
        reader: _AscendingReader | None = None
        previous = b""
        for store in stores:
            if store < previous:
                raise ValueError("the stores are not in ascending order")
            previous = store
            keys = [store + suffix for suffix in suffixes]
            try:
                if reader is None:
                    reader = _AscendingReader(self._open().iter(_scan_options()))
                values = reader.read(keys)
            except Exception as error:
                raise self.failed(error) from error
            yield store, values

    def write(self, entries: Iterable[tuple[bytes, bytes | None]], checkpoint: Checkpoint) -> None:
        """Write values and the checkpoint that they bring the database to, all or nothing.

        Args:
            entries: keys with their new values; None takes a key out.
            checkpoint: the place in the changelog that the database has then.

        Raises:
            TableError: the database cannot be written.
        """
        together = WriteBatch(raw_mode=True)
        for key, value in entries:
            if value is None:
                together.delete(key)
            else:
                together.put(key, value)
        together.put(CHECKPOINT_KEY, checkpoint.encode())
        try:
            self._open().write(together)
        except Exception as error:
            raise self.failed(error) from error
        self._checkpoint = checkpoint

    def facts(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all facts of stores, in the order of their keys.

        Raises:
            TableError: the database cannot be read to its end.
        """
        try:
            entries = self._open().iter()
            entries.seek_to_first()
            while entries.valid():
                key = entries.key()
                if key not in PARTITION_KEYS:
                    yield key, entries.value()
                entries.next()
            # an iterator that meets a damaged block ends there as if nothing came behind it
            entries.status()
        except Exception as error:
            raise self.failed(error) from error

    def remove(self, reason: str, kind: RemovalReason) -> None:
        """Delete the files; the partition is read back from the changelog.

        Args:
            reason: the reason that the log line gives.
            kind: the reason in one word, for metrics.
        """
        log.warning(
            "the database of partition %d %s: it is removed and read back from the changelog",
            self.partition,
            reason,
        )
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._checkpoint = START
        self._on_removed(kind)

    def close(self) -> None:
        """Close the files."""
        rocks, self._rocks = self._rocks, None
        self._checkpoint = None
        if rocks is None:
            return
        try:
            rocks.close()
        except Exception as error:  # noqa: BLE001  rocksdict raises plain Exception
            # values that it could not write are in the changelog, and are read back
            log.warning("the database of partition %d cannot be closed: %s", self.partition, error)

    def failed(self, error: Exception) -> TableError:
        """Return the error for a database that fails; a damaged database is removed."""
        if isinstance(error, TableError):
            return error
        failed = TableError(f"the database of partition {self.partition} fails: {error}")
        if _is_damage(error):
            self.remove(f"is damaged ({error})", "damaged")
        # no new, empty database may stand for the state before this worker ends
        self._failure = failed
        return failed

    def _open(self) -> Any:
        if self._failure is not None:
            raise self._failure
        if self._rocks is None:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._rocks = Rdict(str(self._folder), options=_options())
            self._rocks.set_read_options(rocksdict.ReadOptions())
        return self._rocks

    def _read_checkpoint(self) -> Checkpoint:
        if not self._folder.exists():
            return START
        try:
            value = self._open().get(CHECKPOINT_KEY)
            checkpoint = START if value is None else Checkpoint.decode(value)
            strange = value is None and next(iter(self._open().keys()), None) is not None
        except Exception as error:
            if not _is_damage(error) and not isinstance(error, ValueError):
                raise self.failed(error) from error
            self.remove(f"is damaged ({error})", "damaged")
            return START
        if strange:
            self.remove("does not say which changelog it comes of", "no_checkpoint")
        return checkpoint


class _AscendingReader:
    """Reads keys in ascending order by one iterator, which goes on from key to key.

    A scan of a whole database unpacks each block once. To get each key of 100,000 stores by itself
    took two and a half times the CPU.

    Args:
        entries: a new iterator of a database.
    """

    def __init__(self, entries: Any) -> None:
        self._entries = entries
        entries.seek_to_first()
        self._current = self._key()

    def read(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """Return the values of keys, none of which is less than a key that was read before.

        Raises:
            Exception: the database cannot be read.
        """
        values: list[bytes | None] = []
        current, value = self._current, self._entries.value
        for key in keys:
            if current < key:
                current = self._advance(key)
            values.append(value() if current == key else None)
        self._current = current
        return values

    def _advance(self, key: bytes) -> bytes:
        """Go to the first key that is not less than this one, and return it."""
        entries = self._entries
        # nearly always it is the next one; a seek costs ten times as much
        entries.next()
        current = self._key()
        if current < key:
            entries.seek(key)
            current = self._key()
        return current

    def _key(self) -> bytes:
        key: bytes | None = self._entries.key()
        if key is None:
            # an iterator that meets a damaged block ends there as if nothing came behind it
            self._entries.status()
            return _END_KEY
        return key


def _scan_options() -> rocksdict.ReadOptions:
    """Return read options with which a scan leaves the blocks of other reads in the cache."""
    options = rocksdict.ReadOptions()
    options.fill_cache(False)
    return options


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_max_open_files(_MAX_OPEN_FILES)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(_MAX_WRITE_BUFFERS)
    tables = rocksdict.BlockBasedOptions()
    tables.set_bloom_filter(_BLOOM_BITS, block_based=True)
    tables.set_block_cache(rocksdict.Cache(_BLOCK_CACHE_BYTES))
    tables.set_index_type(rocksdict.BlockBasedIndexType.binary_search())
    options.set_block_based_table_factory(tables)
    return options


def _is_damage(error: Exception) -> bool:
    """Return whether an error of a database says that its files have been damaged."""
    return str(error).startswith(("Corruption", "IO error: No such file"))
