"""From hidden states to one vector a text: pooling, dense layers, unit length.

The modules of sentence-transformers (Reimers and Gurevych 2019, arXiv 1908.10084).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapwing.backends.base import Floats
from lapwing.errors import ConfigError
from lapwing.layers.ops import Ops
from lapwing.layers.step import Pass
from lapwing.models.bert import Bert, BertConfig
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.scope import Scope
from lapwing.weights.sentence_transformers import SentenceModules


class SentenceHead:
    """What a sentence-transformers directory puts behind its encoder of width D."""

    def __init__(self, modules: SentenceModules, D: int, checkpoint: Checkpoint, ops: Ops) -> None:
        self.modules, self._ops = modules, ops
        self.dense = []
        width = D * len(modules.pooling)
        for module in modules.dense:
            if module.in_features != width:
                raise ConfigError(
                    f"{checkpoint.directory / module.folder}: takes {module.in_features} features, "
                    f"but what comes before it gives {width}"
                )
            scope = Scope.root(checkpoint.folder(module.folder))
            width = module.out_features
            linear = ops.linear(scope["linear"], module.in_features, width, bias=module.bias)
            scope.finish()
            self.dense.append((linear, module.activation))
        self.width = width

    def __call__(self, h: Floats, step: Pass, *, normalize: bool) -> Floats:
        """[T, D] → [sequences, width]; `normalize` stands in for a Normalize module."""
        pooled = [self._ops.pool(h, step, mode) for mode in self.modules.pooling]
        x = pooled[0] if len(pooled) == 1 else np.concatenate(pooled, axis=1)
        for linear, activation in self.dense:
            x = linear(x, step, activation=activation)
        return self._ops.unit_length(x) if normalize else x


@dataclass(frozen=True)
class SentenceEncoder:
    """An encoder and what makes one vector of its hidden states."""

    network: Bert
    sentence: SentenceHead

    @property
    def config(self) -> BertConfig:
        """Of the encoder."""
        return self.network.config
