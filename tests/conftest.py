"""Shared by all tests; this file also puts ``tests/`` on the import path, for ``oracle``."""
