"""An Apache Kafka for those who have none: Docker, or Java with Maven.

choose.py picks one; local.py runs it on Java (jars.py fetches it, java.py finds Java,
properties.py writes its settings, cluster.py remembers ports and processes, node.py is one
process of it, readiness.py waits for it); docker.py runs docker-compose.kafka.yml.
"""
