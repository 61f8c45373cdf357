"""The web page: its routes; its files are in `api/web`."""
