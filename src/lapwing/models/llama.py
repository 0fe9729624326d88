"""Llama (Touvron et al. 2023) and the decoders that share its blocks.

Pre-norm blocks with RMS norms, rotary positions, grouped key/value heads, a gated MLP. What a
sibling does otherwise is a field of the configuration: biases, norms of heads, windows, layers
without positions, projections in one. Siblings' own files read their configurations: phi3.py,
qwen.py, smollm3.py. Names and defaults are those of transformers' `models/llama`.
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
from lapwing.models.rope import Rope, read_rope
from lapwing.weights.scope import Scope

MAX_HEAD_DIM, MAX_LAYERS = 512, 4096  # of the attention kernel; of a config taken seriously
# Stored by some checkpoints, not part of the mathematics: frequencies of old exports.
KNOWN_EXTRAS = ("*.rotary_emb.inv_freq",)


@dataclass(frozen=True)
class LlamaConfig:
    """Keys of transformers' `configuration_llama.py`, for all families that share the blocks."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    hidden_act: str
    rms_norm_eps: float
    max_position_embeddings: int
    tie_word_embeddings: bool
    ropes: tuple[Rope, ...]
    layer_ropes: tuple[int | None, ...]  # which of `ropes` a layer uses; None: no positions
    windows: tuple[int, ...]  # positions a layer's tokens see, themselves included; 0: all
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    fused: bool = False  # qkv_proj and gate_up_proj
    model_type: str = "llama"

    @property
    def context_length(self) -> int:
        """Positions that every layer may be used at."""
        return min((rope.context_length for rope in self.ropes), default=1 << 30)

    @property
    def qkv_sizes(self) -> tuple[int, int, int]:
        """Outputs of the projections."""
        kv = self.num_key_value_heads * self.head_dim
        return self.num_attention_heads * self.head_dim, kv, kv


def read_llama_config(config: Mapping[str, Any], where: str) -> LlamaConfig:
    """Llama 1 to 3.x. Raises ConfigError naming the key."""
    read = ConfigReader(config, where)
    bias = read.get("attention_bias", False)
    shape = read_shape(read, model_type="llama")
    return finish_config(
        read,
        config,
        where,
        shape,
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=read.get("mlp_bias", False),
    )


def read_mistral_config(config: Mapping[str, Any], where: str) -> LlamaConfig:
    """Mistral: one window for all layers, or none (transformers, configuration_mistral.py)."""
    read = ConfigReader(config, where)
    shape = read_shape(
        read,
        model_type="mistral",
        intermediate_size=14336,
        num_key_value_heads=8,
        max_position_embeddings=4096 * 32,
    )
    window = read_window(read, config, 4096)
    return finish_config(
        read, config, where, shape, windows=(window,) * int(shape["num_hidden_layers"])
    )


def read_shape(
    read: ConfigReader,
    *,
    model_type: str,
    vocab_size: int = 32000,
    hidden_size: int = 4096,
    intermediate_size: int = 11008,
    num_hidden_layers: int = 32,
    num_attention_heads: int = 32,
    num_key_value_heads: int | None = None,
    head_dim: int | None = None,
    max_position_embeddings: int = 2048,
    rms_norm_eps: float = 1e-6,
    tie_word_embeddings: bool = False,
    activation_key: str = "hidden_act",
    activation: str = "silu",
) -> dict[str, Any]:
    """Sizes and what every family has, with its defaults.

    num_key_value_heads None: as many as heads; head_dim None: hidden_size over heads.
    """
    D = read.get("hidden_size", hidden_size, at_least=1)
    H = read.get("num_attention_heads", num_attention_heads, at_least=1)
    Hkv = read.get("num_key_value_heads", num_key_value_heads or H, at_least=1)
    if H % Hkv:
        raise read.error("num_key_value_heads", f"expected a divisor of {H} heads, got {Hkv}")
    if head_dim is None and not read.has("head_dim") and D % H:
        raise read.error("num_attention_heads", f"expected a divisor of the {D} of hidden_size")
    Dh = read.get("head_dim", head_dim or max(1, D // H), at_least=1, at_most=MAX_HEAD_DIM)
    if Dh % 2:
        raise read.error("head_dim", f"rotary positions turn pairs; {Dh} is odd")
    return {
        "vocab_size": read.get("vocab_size", vocab_size, at_least=1),
        "hidden_size": D,
        "intermediate_size": read.get("intermediate_size", intermediate_size, at_least=1),
        "num_hidden_layers": read.get(
            "num_hidden_layers", num_hidden_layers, at_least=1, at_most=MAX_LAYERS
        ),
        "num_attention_heads": H,
        "num_key_value_heads": Hkv,
        "head_dim": Dh,
        "hidden_act": read_activation(read, activation_key, activation),
        "rms_norm_eps": read.get("rms_norm_eps", rms_norm_eps, at_least=0),
        "max_position_embeddings": read.get(
            "max_position_embeddings", max_position_embeddings, at_least=1
        ),
        "tie_word_embeddings": read.get("tie_word_embeddings", tie_word_embeddings),
        "model_type": model_type,
    }


def finish_config(
    read: ConfigReader,
    config: Mapping[str, Any],
    where: str,
    shape: dict[str, Any],
    *,
    layer_ropes: tuple[int | None, ...] | None = None,
    windows: tuple[int, ...] = (),
    rope_theta: float = 10000.0,
    partial: bool = False,
    **others: Any,
) -> LlamaConfig:
    """One rope for all layers unless `layer_ropes` says otherwise; deals with the other keys."""
    rope = read_rope(
        config,
        read,
        where,
        head_dim=shape["head_dim"],
        max_position_embeddings=shape["max_position_embeddings"],
        rope_theta=rope_theta,
        partial=partial,
    )
    n_layers = shape["num_hidden_layers"]
    finish_keys(read)
    return LlamaConfig(
        **shape,
        ropes=(rope,),
        layer_ropes=layer_ropes or (0,) * n_layers,
        windows=windows or (0,) * n_layers,
        **others,
    )


def finish_keys(read: ConfigReader) -> None:
    """What all decoders refuse, and what only served their training."""
    read.refuse("quantization_config", [], "use the unquantized checkpoint; see dtype=")
    read.refuse("is_encoder_decoder", [False], "encoder-decoder models need an encoder")
    # Dropout; in how many slices the training multiplied.
    read.ignore("attention_dropout", "embd_pdrop", "resid_pdrop", "pretraining_tp")
    read.finish()


def read_window(read: ConfigReader, config: Mapping[str, Any], default: int) -> int:
    """`sliding_window`: null is none (0 here), transformers' default where the key is missing."""
    window = read.get("sliding_window", default)
    if window < 1 and read.has("sliding_window"):
        raise read.error("sliding_window", f"expected null or at least 1, got {window}")
    return 0 if "sliding_window" in config and config["sliding_window"] is None else window


def read_layer_types(
    read: ConfigReader, config: Mapping[str, Any], default: list[str]
) -> list[str]:
    """`layer_types`: full_attention or sliding_attention, one a layer."""
    read.ignore("layer_types")
    given = config.get("layer_types")
    kinds = default if given is None else given
    known = ("full_attention", "sliding_attention")
    if not isinstance(kinds, list) or len(kinds) != len(default):
        raise read.error("layer_types", f"expected {len(default)} of {', '.join(known)}")
    for kind in kinds:
        if kind not in known:
            raise read.error("layer_types", f"expected some of {', '.join(known)}; got {kind!r}")
    return kinds


class LlamaAttention:
    """o(attend(q(x), k(x), v(x))): heads share keys and values in groups."""

    def __init__(
        self,
        config: LlamaConfig,
        layer: int,
        weights: Scope,
        ops: Ops,
        *,
        scale: float | None = None,
        softcap: float = 0.0,
        norm_offset: float = 0.0,
    ) -> None:
        D, Dh, eps = config.hidden_size, config.head_dim, config.rms_norm_eps
        q, k, v = config.qkv_sizes
        names = ["qkv_proj"] if config.fused else ["q_proj", "k_proj", "v_proj"]
        sizes = (q + k + v,) if config.fused else (q, k, v)
        scopes = [weights[name] for name in names]
        self.qkv_proj = ops.joined_linear(scopes, D, sizes, bias=config.qkv_bias)
        norms = None
        if config.qk_norm:
            query, key = (
                ops.rms_norm(weights[name], Dh, eps, offset=norm_offset)
                for name in ("q_norm", "k_norm")
            )
            norms = query, key
        scale = Dh**-0.5 if scale is None else scale
        H = config.num_attention_heads
        self.attend = ops.attention(layer, H, scale, softcap=softcap, norms=norms)
        self.o_proj = ops.linear(weights["o_proj"], q, D, bias=config.o_bias)

    def __call__(
        self, x: Floats, step: Step, rotations: Floats | None, residual: Floats | None = None
    ) -> Floats:
        """[T, D] → [T, D]."""
        attended = self.attend(self.qkv_proj(x, step), step, rotations)  # [T, H·Dh]
        return self.o_proj(attended, step, residual=residual)


class LlamaMLP:
    """down(activation(gate(x))·up(x))."""

    def __init__(self, config: LlamaConfig, weights: Scope, ops: Ops) -> None:
        D, F, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        names = ["gate_up_proj"] if config.fused else ["gate_proj", "up_proj"]
        scopes = [weights[name] for name in names]
        sizes = (2 * F,) if config.fused else (F, F)
        activation = ACTIVATIONS[config.hidden_act]
        self.gate_up = ops.gated_linear(scopes, D, sizes, activation, bias=bias)
        self.down_proj = ops.linear(weights["down_proj"], F, D, bias=bias)

    def __call__(self, x: Floats, step: Step, residual: Floats | None = None) -> Floats:
        """[T, D] → [T, D]."""
        return self.down_proj(self.gate_up(x, step), step, residual=residual)


class LlamaLayer:
    """h + attention(norm(h)), then h + mlp(norm(h)); h is [T, D], packed end to end."""

    def __init__(self, config: LlamaConfig, layer: int, weights: Scope, ops: Ops) -> None:
        D, eps = config.hidden_size, config.rms_norm_eps
        self.input_layernorm = ops.rms_norm(weights["input_layernorm"], D, eps)
        self.self_attn = LlamaAttention(config, layer, weights["self_attn"], ops)
        self.post_attention_layernorm = ops.rms_norm(weights["post_attention_layernorm"], D, eps)
        self.mlp = LlamaMLP(config, weights["mlp"], ops)

    def __call__(self, h: Floats, step: Step, rotations: Floats | None) -> Floats:
        h = self.self_attn(self.input_layernorm(h), step, rotations, residual=h)
        return self.mlp(self.post_attention_layernorm(h), step, residual=h)


class Llama:
    """Token ids → hidden states → logits."""

    layer_class: Any = LlamaLayer
    norm_offset = 0.0

    def __init__(self, config: LlamaConfig, weights: Scope, ops: Ops) -> None:
        self.config, self._ops = config, ops
        V, D, tied = config.vocab_size, config.hidden_size, config.tie_word_embeddings
        body = weights["model"] if weights["model.embed_tokens"].has("weight") else weights
        self.embed_tokens = ops.embedding(body["embed_tokens"], V, D, tied=tied)
        self.rotaries = [ops.rotary(rope.frequencies) for rope in config.ropes]
        self.layers = [
            self.layer_class(config, layer, body[f"layers.{layer}"], ops)
            for layer in range(config.num_hidden_layers)
        ]
        self.norm = ops.rms_norm(body["norm"], D, config.rms_norm_eps, offset=self.norm_offset)
        self.lm_head = self.embed_tokens.as_head() if tied else ops.head(weights["lm_head"], D, V)

    @property
    def known_extras(self) -> tuple[str, ...]:
        """Patterns of stored tensors that the model does not use."""
        return (*KNOWN_EXTRAS, *(["lm_head.weight"] if self.config.tie_word_embeddings else []))

    def variant(self, capacities: Sequence[int]) -> Hashable:
        """Frequencies may depend on how long a sequence may become."""
        variants = tuple(rotary.variant(capacities) for rotary in self.rotaries)
        return None if None in variants else variants

    @property
    def cache_shape(self) -> CacheShape:
        """Of a cache that fits this model."""
        config = self.config
        return self._ops.cache_shape(
            config.num_hidden_layers, config.num_key_value_heads, config.head_dim, config.windows
        )

    def kv_cache(self, capacity: int) -> KVCache:
        """Room for one sequence of up to `capacity` tokens."""
        return self._ops.kv_cache(self.cache_shape, capacity)

    def __call__(self, step: Step) -> Floats:
        """h [T, D] after the final norm; the step's caches hold its tokens afterwards."""
        h = self.hidden(step, len(self.layers))
        step.finish()
        return self.norm(h)

    def hidden(self, step: Step, n_layers: int) -> Floats:
        """h [T, D] after the first n_layers; the caches are not advanced."""
        rotations = [rotary(step) for rotary in self.rotaries]
        h = self.embed(step)
        for layer, rope in zip(self.layers[:n_layers], self.config.layer_ropes, strict=False):
            h = layer(h, step, None if rope is None else rotations[rope])
        return h

    def embed(self, step: Step) -> Floats:
        """Token embeddings [T, D]."""
        return self.embed_tokens(step.ids)

    def logits(self, h: Floats, precision: str) -> Floats:
        """[T, D] → [T, V]."""
        return self.lm_head(h, precision)
