"""Names of the files and folders in a data dir that more than one module uses."""

from __future__ import annotations

from typing import Final

KAFKA_FOLDER: Final = "kafka"
"""The folder of all that a local broker writes."""

WORKERS_FOLDER: Final = "workers"
"""The folder with a folder for each worker."""

LOGS_FOLDER: Final = "logs"
"""The folder of the logs of all processes."""

RUN_FILE: Final = "run.json"
"""The file that says what `store-uptime up` runs from this data dir."""

RUN_LOCK: Final = "up.lock"
"""A lock that is held while `store-uptime up` runs: a crash leaves only its run file behind."""

CLUSTER_FILE: Final = f"{KAFKA_FOLDER}/cluster.json"
"""The file that says where the nodes of a local broker on Java listen."""

DOCKER_FILE: Final = f"{KAFKA_FOLDER}/docker.json"
"""The file that says where a local broker in Docker listens."""

ENTRIES: Final = frozenset({KAFKA_FOLDER, WORKERS_FOLDER, LOGS_FOLDER, RUN_FILE, RUN_LOCK})
"""The names of all that this product puts into a data dir."""
