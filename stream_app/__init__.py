"""The stream processor of the store uptime service."""

from importlib.metadata import version

__version__ = version("store-uptime")
