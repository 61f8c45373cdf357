"""Polls by HTTP: `POST /status` and `POST /stores/{store_id}/status`."""
