"""The file cluster.json, which stores the ports and process ids of a local cluster."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from stream_app.authority import LOOPBACK
from stream_app.data_dir import CLUSTER_FILE
from stream_app.errors import PrerequisiteError
from stream_app.local.processes.files import make_folder, write_whole
from stream_app.local.processes.ports import free_ports, is_free

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class NodeAddress:
    """The ports of one node, and its process id if it was started."""

    id: int
    port: int
    controller_port: int
    pid: int | None = None


@dataclass(slots=True)
class Cluster:
    """One cluster: its Kafka cluster id and its nodes, numbered from 1."""

    cluster_id: str
    nodes: list[NodeAddress] = field(default_factory=list)

    @property
    def bootstrap(self) -> str:
        """Return the addresses of all nodes as HOST:PORT[,...]."""
        return ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes)

    @classmethod
    def new(cls, nodes: int) -> Cluster:
        """Make a new cluster, with ports that are free now."""
        ports = free_ports(2 * nodes)
        return cls(
            _cluster_id(),
            [NodeAddress(i + 1, ports[2 * i], ports[2 * i + 1]) for i in range(nodes)],
        )

    @classmethod
    def load(cls, data_dir: Path) -> Cluster | None:
        """Read the cluster of a data dir; None if the data dir has no cluster yet.

        Raises:
            PrerequisiteError: the file exists and cannot be read.
        """
        path = data_dir / CLUSTER_FILE
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            nodes = [NodeAddress(**node) for node in stored["nodes"]]
            return cls(str(stored["cluster_id"]), nodes)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise PrerequisiteError(
                f"cannot read {path}: {error.strerror}; use another data dir, or make this one "
                "readable for you"
            ) from None
        except (ValueError, TypeError, KeyError) as error:
            raise PrerequisiteError(
                f"cannot read {path} ({error}): use another data dir, or remove the folder "
                f"{path.parent} with all that the broker holds"
            ) from None

    def save(self, data_dir: Path) -> None:
        """Write the cluster into a data dir."""
        path = data_dir / CLUSTER_FILE
        make_folder(path.parent)
        write_whole(path, json.dumps(asdict(self), indent=2) + "\n")

    def renew_busy_ports(self) -> None:
        """Replace every port that another program uses now. Call it only while no node runs.

        Every node reads all ports at its start, so the ports of controllers may change too.
        """
        in_use = {port for node in self.nodes for port in (node.port, node.controller_port)}
        for node in self.nodes:
            if not is_free(node.port):
                (node.port,) = free_ports(1, in_use)
                in_use.add(node.port)
            if not is_free(node.controller_port):
                (node.controller_port,) = free_ports(1, in_use)
                in_use.add(node.controller_port)


def _cluster_id() -> str:
    """Return a random id in Kafka's form: 22 characters of URL-safe base64."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # Kafka's tools read an argument that begins with - as an option
        if not text.startswith("-"):
            return text
