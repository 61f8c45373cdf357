"""The least that reading the topic costs: aiokafka and orjson, no state."""
