"""The lowest cost of reading the topic: aiokafka and orjson, without state."""
