"""Plain aiokafka clients, shared by the worker, the API and the producers."""
