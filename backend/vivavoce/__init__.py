"""Vivavoce: a self-hosted server for live spoken conversation."""

__version__ = "0.1.0"
