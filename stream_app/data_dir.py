"""Names of the files and folders in a data dir that more than one module uses."""

from __future__ import annotations

from typing import Final

KAFKA_FOLDER: Final = "kafka"
"""Holds all that a local broker writes."""

WORKERS_FOLDER: Final = "workers"
"""Holds a folder for each worker."""

LOGS_FOLDER: Final = "logs"
"""Holds the logs of all processes."""

RUN_FILE: Final = "run.json"
"""Says what `store-uptime up` runs from this data dir."""

RUN_LOCK: Final = "up.lock"
"""Is locked while `store-uptime up` runs: a crash leaves its run file behind."""

CLUSTER_FILE: Final = f"{KAFKA_FOLDER}/cluster.json"
"""Says where the nodes of a local broker on Java listen."""

DOCKER_FILE: Final = f"{KAFKA_FOLDER}/docker.json"
"""Says where a local broker in Docker listens."""

ENTRIES: Final = frozenset({KAFKA_FOLDER, WORKERS_FOLDER, LOGS_FOLDER, RUN_FILE, RUN_LOCK})
"""The names of all that this product puts into a data dir."""
