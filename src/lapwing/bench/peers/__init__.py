"""Runtimes to measure against, one file each."""

from __future__ import annotations

import importlib

from lapwing.bench.peers.base import Peer

# In the order in which tables have them.
MODULES = (
    "lapwing",
    "llama_cpp",
    "llama_bench",
    "llama_batched_bench",
    "onnxruntime",
    "openvino",
    "ctranslate2",
    "torch",
    "mistralrs",
    "embed_anything",
)


def peers() -> dict[str, Peer]:
    """All adapters by name, whether what they adapt is installed or not."""
    found = (importlib.import_module(f"lapwing.bench.peers.{module}").PEER for module in MODULES)
    return {peer.name: peer for peer in found}
