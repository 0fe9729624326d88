"""PyTorch through transformers: float32, and its dynamic int8 quantization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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
from lapwing.bench.peers.padding import one_pass, padded

TEXTS = 32  # of an encoder's pass


class Torch(Peer):
    """transformers' own models, from the checkpoint's own files."""

    name = "torch"
    module = package = "torch"
    imports = ("torch", "transformers")
    most_weights = 600_000_000

    def describe(self) -> dict[str, Any]:
        told = super().describe()
        import importlib.metadata
        import importlib.util

        if importlib.util.find_spec("transformers") is None:
            raise Unavailable("not installed: no module 'transformers' in this interpreter")
        return told | {"transformers": importlib.metadata.version("transformers")}

    def build(self) -> str | None:
        import torch

        told = torch.__config__.show().splitlines()
        return "; ".join(
            line.strip(" -") for line in told[1:] if "capability" in line or "MKL-DNN" in line
        )

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return Quantization("int8 dynamic", "int8"), Quantization("f32", "f32")

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        import torch
        import transformers

        from lapwing.bench.export.checkpoint import Checkpoint
        from lapwing.bench.export.graph import matrices_bytes

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        encoder = target.family == "bert"
        kind = transformers.AutoModel if encoder else transformers.AutoModelForCausalLM
        model = kind.from_pretrained(target.directory, dtype=torch.float32, local_files_only=True)
        model.eval()
        int8 = quantization != "f32"
        if int8:
            _plain_linears(model, torch.nn)
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear})
        ckpt = Checkpoint(target.directory)
        read = matrices_bytes(ckpt, ckpt.shape, 1 if int8 else 4)
        facts = Facts(None if int8 else 32.0, read, "anonymous", kv_bytes_each=4)
        return (TorchEncoder if encoder else TorchCausal)(model, facts)


def _plain_linears(module: Any, nn: Any) -> None:
    """GPT-2's Conv1D as Linear: those alone are quantized."""
    for name, child in module.named_children():
        if type(child).__name__ == "Conv1D":
            K, N = child.weight.shape
            linear = nn.Linear(K, N)
            linear.weight.data, linear.bias.data = child.weight.data.T.contiguous(), child.bias.data
            setattr(module, name, linear)
        else:
            _plain_linears(child, nn)


class TorchCausal(Runner):
    """Its own cache, one token a sequence at a time."""

    def __init__(self, model: Any, facts: Facts) -> None:
        import torch

        self._torch, self._model, self.facts = torch, model, facts
        self._cache: Any = None
        self._fed = 0

    def _pass(self, ids: Sequence[Ids], cache: Any, keep: int = 1) -> Any:
        """Logits of the last `keep` positions (all for 0), and the cache."""
        with self._torch.inference_mode():
            done = self._model(
                self._torch.tensor(ids), past_key_values=cache, use_cache=True, logits_to_keep=keep
            )
        return done.logits, done.past_key_values

    def start(self, prompts: Sequence[Ids], more: int) -> None:
        one_pass(prompts)
        _, self._cache = self._pass([list(prompt) for prompt in prompts], None)
        self._fed = 0

    def feed(self, tokens: Ids) -> None:
        _, self._cache = self._pass([[token] for token in tokens], self._cache)
        self._fed += 1

    def rewind(self) -> None:
        self._cache.crop(-self._fed)
        self._fed = 0

    def prefill(self, ids: Ids) -> None:
        self._pass([list(ids)], None)

    def generate(self, ids: Ids, n_tokens: int) -> list[int]:
        logits, cache = self._pass([list(ids)], None)
        made = [int(logits[0, -1].argmax())]
        while len(made) < n_tokens:
            logits, cache = self._pass([made[-1:]], cache)
            made.append(int(logits[0, -1].argmax()))
        return made

    def logits(self, ids: Ids) -> Floats:
        return self._pass([list(ids)], None, keep=0)[0][0].float().numpy()


class TorchEncoder(Runner):
    """Texts of like length share a pass, padded to its longest."""

    def __init__(self, model: Any, facts: Facts) -> None:
        import torch

        self._torch, self._model, self.facts = torch, model, facts

    def embed(self, sequences: Sequence[Ids]) -> Floats:
        torch, parts, order = self._torch, [], []
        for group, inputs in padded(sequences, TEXTS):
            mask = torch.from_numpy(inputs["mask"])
            with torch.inference_mode():
                hidden = self._model(
                    torch.from_numpy(inputs["ids"]), attention_mask=mask
                ).last_hidden_state
                total = (hidden * mask.unsqueeze(-1)).sum(1)
                parts.append(torch.nn.functional.normalize(total, dim=1).numpy())
            order += group
        result = np.empty((len(sequences), parts[0].shape[1]), np.float32)
        result[order] = np.concatenate(parts)
        return result


PEER = Torch()
