"""The facts table: what is known of every store, in RocksDB, restored from its changelog."""
