"""Runs an Apache Kafka on this machine, for users without one: in Docker, or on Java with Maven.

choose.py chooses between them; java_cluster.py runs it on Java (jars.py fetches its jars, java.py
finds Java, node_config.py makes its settings, cluster_file.py stores ports and process ids, node.py
runs one process, readiness.py waits for answers); docker.py runs docker-compose.kafka.yml.
"""
