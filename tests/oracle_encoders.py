"""What transformers says about an encoder: float32, eager attention, one thread.

Used by tools/make_encoder_goldens.py (which writes the answers down) and by the live tests (which
ask anew).  Sentence embeddings follow the definitions in sentence-transformers' documentation, in
plain torch.  torch and transformers are imported on first use.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from oracle import pad

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Text = str | tuple[str, str]

# Several modes of one pooling module are laid side by side in this order.
POOLING_MODES = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens")
ACTIVATIONS = {"torch.nn.modules.activation.Tanh": "tanh", "torch.nn.modules.linear.Identity": None}


@dataclass(frozen=True)
class Answer:
    """Of a batch; of a single sequence without the axis B."""

    hidden: FloatArray  # [B, L, D]
    pooled: FloatArray | None  # [B, D], from the first column
    logits: FloatArray | None  # [B, L, V] masked head, [B, labels] classifier (first column, too)


class EncoderOracle:
    """A checkpoint run by the class that its config names; weights widened to float32.

    Loading fails unless every tensor of the file found its parameter and every parameter its
    tensor; a pooler that only the file or only the class has is the one exception.
    """

    def __init__(self, directory: Path) -> None:
        import torch
        import transformers

        torch.set_num_threads(1)
        quiet: Any = transformers.logging
        quiet.set_verbosity_error()
        quiet.disable_progress_bar()
        self._torch = torch
        self.config: Any = transformers.AutoConfig.from_pretrained(str(directory))
        names = _tensor_names(directory)
        self.has_pooler = any(name.endswith("pooler.dense.weight") for name in names)
        optional = self.config.model_type not in ("distilbert", "electra") and not self.has_pooler
        self._body, unexpected = _load(
            transformers.AutoModel, directory, **({"add_pooling_layer": False} if optional else {})
        )
        prefix = f"{self._body.base_model_prefix}."
        with_prefix = {name for name in names if name.startswith(prefix)}
        assert unexpected == (names - with_prefix if with_prefix else set()), unexpected
        architecture: str = self.config.architectures[0]
        self._model = None
        if not architecture.endswith("Model"):
            self._model, unexpected = _load(getattr(transformers, architecture), directory)
            assert all("pooler.dense" in name for name in unexpected), unexpected
        # ELECTRA's discriminator finds replaced tokens: a head for training only.
        self.has_head = self._model is not None and architecture != "ElectraForPreTraining"

        self.vocab_size: int = self.config.vocab_size
        self.n_types = int(getattr(self.config, "type_vocab_size", 0))  # 0: the family has none
        self._padding_moves_positions = prefix == "roberta."
        first = self.config.pad_token_id + 1 if self._padding_moves_positions else 0
        self.longest: int = self.config.max_position_embeddings - first  # tokens of a sequence

    def batch(
        self, ids: IntArray, attention_mask: IntArray, token_type_ids: IntArray | None = None
    ) -> Answer:
        """Padded sequences [B, L]; positions count real tokens only, whichever side is padded."""
        mask = self._torch.from_numpy(attention_mask)
        inputs = {"input_ids": self._torch.from_numpy(ids), "attention_mask": mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = self._torch.from_numpy(token_type_ids)
        if not self._padding_moves_positions:  # the RoBERTas see from the ids what is padding
            inputs["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        with self._torch.no_grad():
            output = self._body(**inputs)
            headed = self._model(**inputs) if self._model is not None else None
        return Answer(
            _array(output.last_hidden_state),
            _array(output.pooler_output) if self.has_pooler else None,
            _logits(headed) if self.has_head else None,
        )

    def single(self, ids: Sequence[int], token_type_ids: Sequence[int] | None = None) -> Answer:
        """One sequence, as the only row of a batch without padding."""
        types = None if token_type_ids is None else np.asarray([token_type_ids], np.int64)
        one = self.batch(*pad([ids], "right"), types)
        return Answer(
            one.hidden[0],
            None if one.pooled is None else one.pooled[0],
            None if one.logits is None else one.logits[0],
        )


def sentence_embeddings(
    directory: Path, oracle: EncoderOracle, texts: Sequence[str], normalize: bool
) -> FloatArray:
    """[n, D] of a sentence-transformers directory: its modules one after the other.

    `normalize` stands in for a Normalize module, which comes last wherever there is one.
    """
    import torch
    from safetensors.torch import load_file

    settings = _read_json(directory / "sentence_bert_config.json")
    if settings["do_lower_case"]:
        texts = [text.lower() for text in texts]
    ids, mask, types = encode(directory, texts, settings["max_seq_length"])
    answer = oracle.batch(ids, mask, types if oracle.n_types > 1 else None)
    x = torch.from_numpy(answer.hidden)  # [B, L, D]
    for module in _read_json(directory / "modules.json")[1:]:
        kind = module["type"].rpartition(".")[2]
        folder = directory / module["path"]
        if kind == "Normalize":
            break
        config = _read_json(folder / "config.json")
        if kind == "Pooling":
            modes = [mode for mode in POOLING_MODES if config[f"pooling_mode_{mode}"]]
            x = pool(x, torch.from_numpy(mask), modes)  # [B, D * modes]
        else:
            weights = load_file(folder / "model.safetensors")
            x = torch.nn.functional.linear(x, weights["linear.weight"], weights.get("linear.bias"))
            if ACTIVATIONS[config["activation_function"]] == "tanh":
                x = torch.tanh(x)
    return _array(torch.nn.functional.normalize(x, dim=-1) if normalize else x)


def pool(hidden: Any, mask: Any, modes: Sequence[str]) -> Any:
    """Tensors [B, L, D] and [B, L], padded on the right → [B, D * modes]."""
    import torch

    real = mask.unsqueeze(-1).to(hidden.dtype)  # [B, L, 1]
    length = real.sum(1)  # [B, 1]
    total = (hidden * real).sum(1)  # [B, D]
    pooled = {
        "cls_token": hidden[:, 0],
        "max_tokens": hidden.masked_fill(real == 0, -torch.inf).amax(1),
        "mean_tokens": total / length,
        "mean_sqrt_len_tokens": total / length.sqrt(),
    }
    return torch.cat([pooled[mode] for mode in modes], dim=-1)


def encode(
    directory: Path, texts: Sequence[Text], max_length: int | None
) -> tuple[IntArray, IntArray, IntArray]:
    """Ids, attention mask and token types, all [B, L], padded on the right."""
    import tokenizers

    raw = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    raw.no_padding()
    raw.no_truncation()
    if max_length is not None:
        raw.enable_truncation(max_length)
    encoded = raw.encode_batch(list(texts))
    pad_id = _read_json(directory / "config.json")["pad_token_id"]
    ids, mask = pad([one.ids for one in encoded], "right", pad_id)
    types, _ = pad([one.type_ids for one in encoded], "right")
    return ids, mask, types


def fill_mask(directory: Path, text: str, top_k: int) -> list[list[dict[str, Any]]]:
    """Of transformers' pipeline: per mask the best tokens with `token`, `score`, `sequence`."""
    answer = _pipeline("fill-mask", directory)(text, top_k=top_k)
    return answer if isinstance(answer[0], list) else [answer]


def classify(directory: Path, text: Text) -> list[dict[str, Any]]:
    """Of transformers' pipeline: every `label` with its `score`, best first."""
    inputs = text if isinstance(text, str) else {"text": text[0], "text_pair": text[1]}
    answer = _pipeline("text-classification", directory)(inputs, top_k=None)
    return answer[0] if isinstance(answer[0], list) else answer


def _pipeline(task: str, directory: Path) -> Any:
    import transformers

    architecture = _read_json(directory / "config.json")["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(str(directory))
    tokenizer_class: Any = transformers.PreTrainedTokenizerFast
    tokenizer = tokenizer_class(
        tokenizer_file=str(directory / "tokenizer.json"),
        **_read_json(directory / "tokenizer_config.json"),
    )
    make: Any = transformers.pipeline
    return make(task, model=model.float().eval(), tokenizer=tokenizer)


def _load(model_class: Any, directory: Path, **arguments: Any) -> tuple[Any, set[str]]:
    """The model, and the tensors of the file that it has no place for."""
    model, report = model_class.from_pretrained(
        str(directory), attn_implementation="eager", output_loading_info=True, **arguments
    )
    assert not report["missing_keys"], report["missing_keys"]
    assert not report["mismatched_keys"], report["mismatched_keys"]
    return model.float().eval(), set(report["unexpected_keys"])


def _tensor_names(directory: Path) -> set[str]:
    """Gamma and beta of old files as transformers reads them: weight and bias."""
    from safetensors import safe_open

    names: set[str] = set()
    for path in directory.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            names.update(file.keys())
    old = {"gamma": "weight", "beta": "bias"}
    parts = [name.rpartition(".") for name in names]
    return {f"{module}.{old.get(kind, kind)}" for module, _, kind in parts}


def _logits(output: Any) -> FloatArray:
    """Of BertForPreTraining those over the vocabulary."""
    return _array(output["prediction_logits" if "prediction_logits" in output else "logits"])


def _array(tensor: Any) -> FloatArray:
    return np.asarray(tensor.detach().numpy(), np.float32)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
