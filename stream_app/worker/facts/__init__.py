"""The facts table: the facts of every store, in RocksDB, restored from its changelog."""
