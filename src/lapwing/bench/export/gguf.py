"""GGUF for llama.cpp: float32 from the checkpoint, everything else by llama.cpp's own quantizer.

A checkpoint without a SentencePiece or BPE table that llama.cpp knows needs none: token ids go in
and come out, so the file says that it has no vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lapwing.bench.export.checkpoint import Checkpoint, Shape

Tensors = Iterator[tuple[str, NDArray[np.float32]]]

# GGUF's names of a layer's parts, by the checkpoint's.
GPT2 = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
LLAMA = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
BERT = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def gpt2_tensors(ckpt: Checkpoint) -> Tensors:
    """Conv1D matrices are [in, out]; GGUF has [out, in]."""
    yield "token_embd.weight", ckpt["wte.weight"]
    yield "position_embd.weight", ckpt["wpe.weight"]
    for i in range(ckpt.shape.n_layers):
        for theirs, ours in GPT2.items():
            weight = ckpt[f"h.{i}.{theirs}.weight"]
            yield f"blk.{i}.{ours}.weight", weight.T if weight.ndim == 2 else weight
            yield f"blk.{i}.{ours}.bias", ckpt[f"h.{i}.{theirs}.bias"]
    yield "output_norm.weight", ckpt["ln_f.weight"]
    yield "output_norm.bias", ckpt["ln_f.bias"]


def llama_tensors(ckpt: Checkpoint) -> Tensors:
    """llama.cpp turns neighbours for `llama` and halves for `qwen2`; files have halves."""
    shape = ckpt.shape
    yield "token_embd.weight", ckpt["embed_tokens.weight"]
    factors = ckpt.rope_factors()
    if factors is not None:
        yield "rope_freqs.weight", factors
    for i in range(shape.n_layers):
        for theirs, ours in LLAMA.items():
            for part in ("weight", "bias"):
                name = f"layers.{i}.{theirs}.{part}"
                if name not in ckpt:
                    continue
                value = ckpt[name]
                if ckpt.family == "llama" and ours in ("attn_q", "attn_k"):
                    value = neighbours(value, shape.H if ours == "attn_q" else shape.Hkv)
                yield f"blk.{i}.{ours}.{part}", value
    yield "output_norm.weight", ckpt["norm.weight"]
    if "lm_head.weight" in ckpt and not ckpt.config.get("tie_word_embeddings", False):
        yield "output.weight", ckpt["lm_head.weight"]


def bert_tensors(ckpt: Checkpoint) -> Tensors:
    """Without the pooler and heads: sentence vectors are means."""
    yield "token_embd.weight", ckpt["embeddings.word_embeddings.weight"]
    yield "position_embd.weight", ckpt["embeddings.position_embeddings.weight"]
    yield "token_types.weight", ckpt["embeddings.token_type_embeddings.weight"]
    for part in ("weight", "bias"):
        yield f"token_embd_norm.{part}", ckpt[f"embeddings.LayerNorm.{part}"]
    for i in range(ckpt.shape.n_layers):
        for theirs, ours in BERT.items():
            for part in ("weight", "bias"):
                yield f"blk.{i}.{ours}.{part}", ckpt[f"encoder.layer.{i}.{theirs}.{part}"]


TENSORS = {
    "gpt2": gpt2_tensors,
    "llama": llama_tensors,
    "qwen2": llama_tensors,
    "bert": bert_tensors,
}


def neighbours(value: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from (first half, second half) to pairs side by side."""
    halves = value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(value.shape)


def write_f32(ckpt: Checkpoint, path: Path) -> None:
    """Raises ImportError without the `gguf` package, KeyError for another architecture."""
    import gguf

    tensors = TENSORS[ckpt.family]
    part = path.with_suffix(".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(part, ckpt.family)
    _describe(writer, ckpt, ckpt.shape)
    for name, value in tensors(ckpt):
        writer.add_tensor(name, np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(path)


def _describe(writer: object, ckpt: Checkpoint, shape: Shape) -> None:
    from gguf import GGUFWriter, LlamaFileType, PoolingType

    assert isinstance(writer, GGUFWriter)
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.D)
    writer.add_feed_forward_length(shape.F)
    writer.add_block_count(shape.n_layers)
    writer.add_head_count(shape.H)
    writer.add_vocab_size(shape.V)
    writer.add_tokenizer_model("none")
    if shape.rope_theta is None:
        writer.add_layer_norm_eps(shape.eps)
    else:
        writer.add_layer_norm_rms_eps(shape.eps)
        writer.add_head_count_kv(shape.Hkv)
        writer.add_rope_freq_base(shape.rope_theta)
        writer.add_rope_dimension_count(shape.Dh)
        writer.add_key_length(shape.Dh)
        writer.add_value_length(shape.Dh)
    if ckpt.family == "bert":
        writer.add_causal_attention(False)
        writer.add_pooling_type(PoolingType.MEAN)
        writer.add_token_type_count(ckpt.config["type_vocab_size"])


@dataclass(frozen=True)
class Size:
    """Of a GGUF file's tensors."""

    bits_per_weight: float
    bytes_per_token: int


def size(path: Path) -> Size:
    """Measured once, kept beside the file."""
    kept = path.with_suffix(".size.json")
    if not kept.exists():
        import gguf

        tensors = gguf.GGUFReader(path).tensors
        weights = sum(int(tensor.n_elements) for tensor in tensors)
        nbytes = {tensor.name: int(tensor.n_bytes) for tensor in tensors}
        # Tables are read a row a token; a tied one is the head as well, and read whole.
        tables = ["position_embd.weight", "token_types.weight"]
        if "output.weight" in nbytes or "token_types.weight" in nbytes:
            tables.append("token_embd.weight")
        read = sum(nbytes.values()) - sum(nbytes.get(table, 0) for table in tables)
        told = {"bits_per_weight": 8 * sum(nbytes.values()) / weights, "bytes_per_token": read}
        kept.write_text(json.dumps(told))
    return Size(**json.loads(kept.read_text()))
