"""Which checkpoint it is, by its content: the same wherever it was copied to."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.store.checkpoint import StoredTensor

SAMPLED_BYTES = 4096  # at either end of every tensor


def fingerprint(checkpoint: Checkpoint) -> str | None:
    """None where tensors are kept otherwise than the checkpoint had them: in a store alone.

    Of the configuration, and of every tensor its name, dtype, shape, first and last bytes; so few
    bytes of a large model are read, and a fine-tuned one is another. Raises WeightsError.
    """
    digest = hashlib.blake2b(json.dumps(checkpoint.config, sort_keys=True).encode(), digest_size=16)
    for name in sorted(checkpoint.tensors):
        tensor = checkpoint.tensors[name]
        if isinstance(tensor, StoredTensor):
            return None
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        data = tensor.get().reshape(-1)
        count = max(1, SAMPLED_BYTES // data.itemsize)
        digest.update(np.ascontiguousarray(data[:count]).tobytes())
        digest.update(np.ascontiguousarray(data[-count:]).tobytes())
        tensor.release()
    return digest.hexdigest()
