"""Writes Kafka's own commands as shell scripts, as its distribution has them in `bin`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_app.local.processes.files import SHARED_FOLDER, make_folder

if TYPE_CHECKING:
    from pathlib import Path

BIN: Final = "bin"

COMMANDS: Final = {
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-groups": "org.apache.kafka.tools.GroupsCommand",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
}
"""The main class of each command."""

_SCRIPT: Final = """\
#!/bin/sh
# {name} of Apache Kafka
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
java=java
if [ -n "$JAVA_HOME" ]; then java=$JAVA_HOME/bin/java; fi
exec "$java" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$here/../*" {main_class} "$@"
"""

_EXECUTABLE: Final = 0o755


def write_commands(folder: Path) -> list[str]:
    """Write the commands into `<folder>/bin` and return their names.

    Raises:
        PrerequisiteError: the folder cannot be written.
    """
    programs = make_folder(folder / BIN, SHARED_FOLDER)
    for name, main_class in COMMANDS.items():
        script = _SCRIPT.format(name=name, main_class=main_class)
        program = programs / name
        if not program.exists() or program.read_text(encoding="utf-8") != script:
            program.write_text(script, encoding="utf-8")
            program.chmod(_EXECUTABLE)
    return list(COMMANDS)
