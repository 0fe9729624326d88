"""Runtimes to measure against, one file each."""

from __future__ import annotations

import importlib

from benchmarks.peers.base import Peer

# In the order in which tables have them. Class names are found by their module.
MODULES = ("lapwing", "llama_cpp")


def peers() -> dict[str, Peer]:
    """All adapters by name, whether what they adapt is installed or not."""
    found = (importlib.import_module(f"benchmarks.peers.{module}").PEER for module in MODULES)
    return {peer.name: peer for peer in found}
