"""GPT-2 (Radford et al. 2019); names and defaults of transformers' `models/gpt2`.

Pre-norm blocks, learned positions, one fused qkv projection, head tied to the token embedding
unless the config says otherwise. Weights of linears are Conv1D: [in, out].
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lapwing.backends.base import Floats
from lapwing.layers.kv_cache import CacheShape, KVCache
from lapwing.layers.ops import Ops
from lapwing.layers.step import Step
from lapwing.models.config import ACTIVATIONS, ConfigReader, read_activation
from lapwing.weights.scope import Scope

MAX_HEAD_DIM, MAX_LAYERS = 512, 4096  # of the attention kernel; of a config taken seriously
# Stored by some checkpoints, not part of the mathematics: causal masks of old exports.
KNOWN_EXTRAS = ("*.attn.bias", "*.attn.masked_bias")


@dataclass(frozen=True)
class GPT2Config:
    """Keys and defaults of transformers' `configuration_gpt2.py`."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    n_inner: int
    activation_function: str
    layer_norm_epsilon: float
    scale_attn_weights: bool
    scale_attn_by_inverse_layer_idx: bool
    tie_word_embeddings: bool
    model_type: str = "gpt2"

    @property
    def context_length(self) -> int:
        """n_positions."""
        return self.n_positions

    @property
    def head_dim(self) -> int:
        """Dh."""
        return self.n_embd // self.n_head

    @classmethod
    def from_dict(cls, config: Mapping[str, Any], where: str) -> GPT2Config:
        """Raises ConfigError naming the key."""
        read = ConfigReader(config, where)
        n_embd = read.get("n_embd", 768, at_least=1)
        n_head = read.get("n_head", 12, at_least=1)
        if n_embd % n_head:
            raise read.error("n_head", f"expected a divisor of n_embd = {n_embd}, got {n_head}")
        if n_embd // n_head > MAX_HEAD_DIM:
            raise read.error("n_head", f"heads of {n_embd // n_head} exceed {MAX_HEAD_DIM}")
        result = cls(
            vocab_size=read.get("vocab_size", 50257, at_least=1),
            n_positions=read.get("n_positions", 1024, at_least=1),
            n_embd=n_embd,
            n_layer=read.get("n_layer", 12, at_least=1, at_most=MAX_LAYERS),
            n_head=n_head,
            n_inner=read.get("n_inner", 4 * n_embd, at_least=1),
            activation_function=read_activation(read, "activation_function", "gelu_new"),
            layer_norm_epsilon=read.get("layer_norm_epsilon", 1e-5, at_least=0),
            scale_attn_weights=read.get("scale_attn_weights", True),
            scale_attn_by_inverse_layer_idx=read.get("scale_attn_by_inverse_layer_idx", False),
            tie_word_embeddings=read.get("tie_word_embeddings", True),
        )
        read.refuse("add_cross_attention", [False], "encoder-decoder models need an encoder")
        read.refuse("is_encoder_decoder", [False], "encoder-decoder models need an encoder")
        read.refuse("pruned_heads", [{}], "remove the heads from the weights and save again")
        read.refuse("quantization_config", [], "use the unquantized checkpoint; see dtype=")
        # Dropout; where the softmax is rounded (here always float32); heads of other tasks.
        read.ignore("attn_pdrop", "embd_pdrop", "resid_pdrop", "reorder_and_upcast_attn")
        read.ignore("is_decoder", "cross_attention_hidden_size", "tie_encoder_decoder")
        read.ignore(*(key for key in config if key.startswith("summary_")))
        read.finish()
        return result


class Block:
    """h + attention(ln_1(h)), then h + mlp(ln_2(h)); h is [T, D], sequences packed end to end."""

    def __init__(self, config: GPT2Config, layer: int, weights: Scope, ops: Ops) -> None:
        D, F, eps = config.n_embd, config.n_inner, config.layer_norm_epsilon
        scale = config.head_dim**-0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            scale /= layer + 1
        self.activation = ACTIVATIONS[config.activation_function]
        self.ln_1 = ops.layer_norm(weights["ln_1"], D, eps)
        self.c_attn = ops.linear(weights["attn.c_attn"], D, 3 * D, layout="kn")
        self.attend = ops.attention(layer, config.n_head, scale)
        self.c_proj = ops.linear(weights["attn.c_proj"], D, D, layout="kn")
        self.ln_2 = ops.layer_norm(weights["ln_2"], D, eps)
        self.mlp_c_fc = ops.linear(weights["mlp.c_fc"], D, F, layout="kn")
        self.mlp_c_proj = ops.linear(weights["mlp.c_proj"], F, D, layout="kn")

    def __call__(self, h: Floats, step: Step) -> Floats:
        qkv = self.c_attn(self.ln_1(h), step)  # [T, 3·D]
        h = self.c_proj(self.attend(qkv, step), step, residual=h)
        inner = self.mlp_c_fc(self.ln_2(h), step, activation=self.activation)  # [T, F]
        return self.mlp_c_proj(inner, step, residual=h)


class GPT2:
    """Token ids → hidden states → logits."""

    def __init__(self, config: GPT2Config, weights: Scope, ops: Ops) -> None:
        self.config, self._ops = config, ops
        V, D = config.vocab_size, config.n_embd
        body = weights["transformer"] if weights["transformer.wte"].has("weight") else weights
        self.wte = ops.embedding(body["wte"], V, D, tied=config.tie_word_embeddings)
        self.wpe = ops.position_embedding(body["wpe"], config.n_positions, D)
        self.h = [Block(config, layer, body[f"h.{layer}"], ops) for layer in range(config.n_layer)]
        self.ln_f = ops.layer_norm(body["ln_f"], D, config.layer_norm_epsilon)
        tied = config.tie_word_embeddings
        self.lm_head = self.wte.as_head() if tied else ops.head(weights["lm_head"], D, V)

    @property
    def known_extras(self) -> tuple[str, ...]:
        """Patterns of stored tensors that the model does not use."""
        return (*KNOWN_EXTRAS, *(["lm_head.weight"] if self.config.tie_word_embeddings else []))

    def variant(self, capacities: Sequence[int]) -> Hashable:
        """All passes are alike."""
        return ()

    @property
    def cache_shape(self) -> CacheShape:
        """Of a cache that fits this model."""
        return self._ops.cache_shape(self.config.n_layer, self.config.n_head, self.config.head_dim)

    def kv_cache(self, capacity: int) -> KVCache:
        """Room for one sequence of up to `capacity` tokens."""
        return self._ops.kv_cache(self.cache_shape, capacity)

    def __call__(self, step: Step) -> Floats:
        """h [T, D] after the final norm; the step's caches hold its tokens afterwards."""
        h = self.hidden(step, len(self.h))
        step.finish()
        return self.ln_f(h)

    def hidden(self, step: Step, n_layers: int) -> Floats:
        """h [T, D] after the first n_layers; the caches are not advanced."""
        h = self.wte(step.ids, (self.wpe, step.positions))
        for block in self.h[:n_layers]:
            h = block(h, step)
        return h

    def logits(self, h: Floats, precision: str) -> Floats:
        """[T, D] → [T, V]."""
        return self.lm_head(h, precision)
