"""From hidden states to one vector a text: pooling, dense layers, unit length.

The modules of sentence-transformers (Reimers and Gurevych 2019, arXiv 1908.10084).
"""

from __future__ import annotations

import numpy as np

from lapwing.backends.base import Floats
from lapwing.errors import ConfigError
from lapwing.layers.ops import Ops
from lapwing.layers.step import Pass
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.scope import Scope
from lapwing.weights.sentence_transformers import SentenceModules


class SentenceHead:
    """Holds the checkpoints of its dense layers open, for whoever closes the model."""

    def __init__(self, modules: SentenceModules, D: int, ops: Ops) -> None:
        self.modules, self._ops = modules, ops
        self.checkpoints: list[Checkpoint] = []
        self.dense = []
        width = D * len(modules.pooling)
        try:
            for module in modules.dense:
                if module.in_features != width:
                    raise ConfigError(
                        f"{module.directory}: takes {module.in_features} features, but what "
                        f"comes before it gives {width}"
                    )
                checkpoint = Checkpoint(module.directory)
                self.checkpoints.append(checkpoint)
                scope, width = Scope.root(checkpoint), module.out_features
                linear = ops.linear(scope["linear"], module.in_features, width, bias=module.bias)
                scope.finish()
                self.dense.append((linear, module.activation))
        except BaseException:
            self.close()
            raise
        self.width = width

    def __call__(self, h: Floats, step: Pass, *, normalize: bool) -> Floats:
        """[T, D] → [sequences, width]; `normalize` stands in for a Normalize module."""
        pooled = [self._ops.pool(h, step, mode) for mode in self.modules.pooling]
        x = pooled[0] if len(pooled) == 1 else np.concatenate(pooled, axis=1)
        for linear, activation in self.dense:
            x = linear(x, step, activation=activation)
        return self._ops.unit_length(x) if normalize else x

    def close(self) -> None:
        """Unmaps the files of the dense layers."""
        for checkpoint in self.checkpoints:
            checkpoint.close()
