"""An Apache Kafka for those who have none: Docker, or Java with Maven.

choose.py picks one; java_cluster.py runs it on Java (jars.py fetches it, java.py finds Java,
node_config.py writes its settings, cluster_file.py remembers ports and processes, node.py is one
process of it, readiness.py waits for it); docker.py runs docker-compose.kafka.yml.
"""
