"""Bare aiohttp that parses posts and acknowledges them: the limit of live posts."""
