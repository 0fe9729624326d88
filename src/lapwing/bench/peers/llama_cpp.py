"""llama.cpp through llama-cpp-python's low-level functions: token ids in, logits out."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapwing.bench.export import gguf_quantize
from lapwing.bench.export.gguf import size
from lapwing.bench.peers.base import (
    Facts,
    Family,
    Floats,
    Ids,
    Peer,
    Quantization,
    Runner,
    Target,
    Unavailable,
)

FLASH = {"fa=on": 1, "fa=off": 0}  # llama_flash_attn_type
BATCH = 2048  # n_batch, llama.cpp's default
UBATCH = 512  # n_ubatch, likewise
QUANTIZATIONS = (
    Quantization("Q4_0", "int4"),
    Quantization("IQ4_NL", "int4"),
    Quantization("Q4_K_M", "int4"),
    Quantization("Q8_0", "int8"),
    Quantization("F16", "f16"),
)
# Repacked at load into memory of its own on AVX2, where the rest is read through the mapping.
IN_MAPPING = ("F16", "F32")


class LlamaCpp(Peer):
    """Weights are repacked for the CPU at load, as by default."""

    name = "llama.cpp"
    module, package = "llama_cpp", "llama_cpp_python"

    def build(self) -> str | None:
        import llama_cpp

        return llama_cpp.llama_print_system_info().decode().strip(" |")

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return (*QUANTIZATIONS, Quantization("F32", "f32")) if family == "bert" else QUANTIZATIONS

    def settings(self, family: Family, threads: int) -> tuple[str, ...]:
        return tuple(FLASH)

    def export(self, target: Target, quantization: str) -> None:
        size(gguf_quantize.ensure(target, quantization))

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        path = gguf_quantize.path_of(target, quantization)
        tensors = size(path)
        facts = Facts(
            tensors.bits_per_weight,
            tensors.bytes_per_token,
            "file" if quantization in IN_MAPPING else "anonymous",
            kv_bytes_each=2,
            note=f"n_batch {BATCH}, n_ubatch {UBATCH}",
        )
        return LlamaCppRunner(str(path), FLASH[setting], threads, target.family == "bert", facts)


class LlamaCppRunner(Runner):
    """One model; its context is made anew where a workload needs another size."""

    def __init__(self, path: str, flash: int, threads: int, encoder: bool, facts: Facts) -> None:
        import llama_cpp

        self._lib, self._flash, self._threads, self._encoder = llama_cpp, flash, threads, encoder
        self.facts = facts
        self._quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
        if not self._model:
            raise Unavailable(f"llama.cpp does not load {path}")
        vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._V = llama_cpp.llama_vocab_n_tokens(vocab)
        self._D = llama_cpp.llama_model_n_embd(self._model)
        self._context: Any = None
        self._room = (0, 0)
        self._batch: Any = None
        self._lengths: list[int] = []
        self._began: list[int] = []

    def _ensure(self, room: int, sequences: int) -> None:
        """A context in which each of so many sequences has so much room, empty."""
        lib = self._lib
        if self._room != (room, sequences):
            self._close_context()
            parameters = lib.llama_context_default_params()
            parameters.n_ctx = room * sequences
            parameters.n_batch = max(BATCH, room) if self._encoder else BATCH
            # Whole texts go through an encoder in one piece.
            parameters.n_ubatch = parameters.n_batch if self._encoder else UBATCH
            parameters.n_seq_max = sequences
            parameters.n_threads = parameters.n_threads_batch = self._threads
            parameters.flash_attn_type = self._flash
            parameters.embeddings = self._encoder
            parameters.no_perf = True
            self._context = lib.llama_init_from_model(self._model, parameters)
            if not self._context:
                raise Unavailable(f"llama.cpp makes no context of {room} × {sequences} positions")
            self._batch = Batch(lib, parameters.n_batch, sequences)
            self._room = (room, sequences)
        if not self._encoder:
            lib.llama_memory_clear(lib.llama_get_memory(self._context), False)
        self._lengths = [0] * sequences

    def _submit(self, pieces: Sequence[tuple[int, Ids, bool]]) -> None:
        """(sequence, its tokens, whether all their outputs are wanted or the last one's only)."""
        for sequence, ids, every in pieces:
            self._batch.add(sequence, self._lengths[sequence], ids, every)
            self._lengths[sequence] += len(ids)
        call = self._lib.llama_encode if self._encoder else self._lib.llama_decode
        status = call(self._context, self._batch.take())
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        self._lib.llama_synchronize(self._context)

    def _append(self, ids: Ids, sequence: int) -> None:
        """A prompt; logits of its last token."""
        for begin in range(0, len(ids), BATCH):
            self._submit([(sequence, ids[begin : begin + BATCH], False)])

    def start(self, prompts: Sequence[Ids], more: int) -> None:
        self._ensure(max(map(len, prompts)) + more, len(prompts))
        for sequence, prompt in enumerate(prompts):
            self._append(prompt, sequence)
        self._began = list(self._lengths)

    def feed(self, tokens: Ids) -> None:
        self._submit([(sequence, (token,), False) for sequence, token in enumerate(tokens)])

    def rewind(self) -> None:
        memory = self._lib.llama_get_memory(self._context)
        for sequence, length in enumerate(self._began):
            self._lib.llama_memory_seq_rm(memory, sequence, length, -1)
        self._lengths = list(self._began)

    def prefill(self, ids: Ids) -> None:
        self._ensure(len(ids), 1)
        self._append(ids, 0)

    def generate(self, ids: Ids, n_tokens: int) -> list[int]:
        self._ensure(len(ids) + n_tokens, 1)
        self._append(ids, 0)
        made = [self._greedy()]
        while len(made) < n_tokens:
            self._submit([(0, made[-1:], False)])
            made.append(self._greedy())
        return made

    def _greedy(self) -> int:
        logits = self._lib.llama_get_logits_ith(self._context, -1)
        return int(np.ctypeslib.as_array(logits, (self._V,)).argmax())

    def logits(self, ids: Ids) -> Floats:
        self._ensure(len(ids), 1)
        self._submit([(0, ids, True)])
        rows = self._lib.llama_get_logits(self._context)
        return np.ctypeslib.as_array(rows, (len(ids), self._V)).copy()

    def embed(self, sequences: Sequence[Ids]) -> Floats:
        vectors = np.empty((len(sequences), self._D), np.float32)
        # Whole texts a pass, as many as n_batch holds, long beside long.
        order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
        most = max(1, min(len(sequences), 64))
        at = 0
        while at < len(order):
            group: list[int] = []
            tokens = 0
            while at < len(order) and len(group) < most:
                tokens += len(sequences[order[at]])
                if group and tokens > BATCH:
                    break
                group.append(order[at])
                at += 1
            self._embed_pass([sequences[i] for i in group], most)
            for row, i in enumerate(group):
                vector = self._lib.llama_get_embeddings_seq(self._context, row)
                vectors[i] = np.ctypeslib.as_array(vector, (self._D,))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _embed_pass(self, sequences: Sequence[Ids], most: int) -> None:
        self._ensure(max(BATCH // most, 512), most)
        self._submit([(row, ids, True) for row, ids in enumerate(sequences)])

    def _close_context(self) -> None:
        if self._context:
            self._lib.llama_free(self._context)
            self._context = None

    def close(self) -> None:
        self._close_context()
        self._lib.llama_model_free(self._model)


class Batch:
    """A llama_batch over NumPy's arrays: filled by slices, where llama_batch_init goes by token."""

    def __init__(self, lib: Any, most: int, sequences: int) -> None:
        self._token, self._pos = np.empty(most, np.int32), np.empty(most, np.int32)
        self._ones, self._wanted = np.ones(most, np.int32), np.empty(most, np.int8)
        self._sequences = np.arange(sequences, dtype=np.int32)
        self._rows = np.empty(most, np.uintp)  # addresses of each token's sequence
        self._raw = lib.llama_batch()
        arrays: dict[str, NDArray[Any]] = {
            "token": self._token,
            "pos": self._pos,
            "n_seq_id": self._ones,
            "seq_id": self._rows,
            "logits": self._wanted,
        }
        for name, kind in lib.llama_batch._fields_:
            if name in arrays:
                setattr(self._raw, name, ctypes.cast(arrays[name].ctypes.data, kind))
        self._count = 0

    def add(self, sequence: int, position: int, ids: Ids, every: bool) -> None:
        """Tokens of one sequence, the first at that position."""
        begin, end = self._count, self._count + len(ids)
        self._token[begin:end] = ids
        self._pos[begin:end] = np.arange(position, position + len(ids))
        self._rows[begin:end] = self._sequences.ctypes.data + 4 * sequence
        self._wanted[begin:end] = every
        self._wanted[end - 1] = True
        self._count = end

    def take(self) -> Any:
        """What was added, for llama_decode; the next `add` begins anew."""
        self._raw.n_tokens, self._count = self._count, 0
        return self._raw


PEER = LlamaCpp()
