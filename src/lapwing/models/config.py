"""Reading a config.json: every key is known, harmless, or refused by name."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from lapwing.errors import ConfigError

log = logging.getLogger("lapwing.models")
T = TypeVar("T", int, float, bool, str)

# Keys of every Hugging Face config that do not touch inference mathematics
# (transformers, configuration_utils.py).
HARMLESS = frozenset(
    """_name_or_path _commit_hash _attn_implementation architectures auto_map bad_words_ids
    bos_token_id chunk_size_feed_forward decoder_start_token_id diversity_penalty do_sample dtype
    early_stopping encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty
    finetuning_task forced_bos_token_id forced_eos_token_id id2label initializer_range label2id
    length_penalty max_length min_length model_type name n_ctx no_repeat_ngram_size num_beam_groups
    num_beams num_labels num_return_sequences output_attentions output_hidden_states output_scores
    pad_token_id prefix problem_type remove_invalid_values repetition_penalty return_dict
    return_dict_in_generate sep_token_id suppress_tokens task_specific_params temperature
    tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript transformers_version
    typical_p use_bfloat16 use_cache gradient_checkpointing begin_suppress_tokens keys_to_ignore
    keys_to_ignore_at_inference base_model_tp_plan sagemaker_train_args""".split()
)
# An unknown key with one of these in its name may change what the model computes.
MATHEMATICAL = (
    "act attn attention norm scal rope rotary posit embd embed head hidden layer inner "
    "intermediate expert moe gate window cap bias tie tied residual quant kv alibi lora adapter "
    "prun"
).split()

# config.json's name → the backend's (transformers, activations.py: ACT2FN)
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
MAX_LABELS = 1 << 20


class ConfigReader:
    """Typed access to a config's keys; `finish` deals with those nobody asked for."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self._config, self._where = config, where
        self._asked: set[str] = set()

    def get(
        self,
        key: str,
        default: T,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> T:
        """The value, of the default's type; None and absence mean the default."""
        self._asked.add(key)
        value = self._config.get(key)
        if value is None:
            return default
        kind = type(default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.error(key, f"expected {_name(kind)}, got {value!r}")
        number: Any = value
        if kind is float and not math.isfinite(number):
            raise self.error(key, f"expected a finite number, got {value!r}")
        if at_least is not None and not number >= at_least:
            raise self.error(key, f"expected at least {at_least:g}, got {value!r}")
        if at_most is not None and not number <= at_most:
            raise self.error(key, f"expected at most {at_most:g}, got {value!r}")
        return value

    def has(self, key: str) -> bool:
        """Whether there is a value; does not count as asking for it."""
        return self._config.get(key) is not None

    def refuse(self, key: str, supported: Collection[object], why: str) -> None:
        """A key that is fine at the `supported` values and not implemented at others."""
        self._asked.add(key)
        value = self._config.get(key)
        if value is not None and value not in supported:
            raise self.error(key, f"{value!r} is not supported: {why}")

    def ignore(self, *keys: str) -> None:
        """Keys that matter in training only."""
        self._asked.update(keys)

    def error(self, key: str, text: str) -> ConfigError:
        """About one key of this file."""
        return ConfigError(f"{self._where}: {key!r}: {text}")

    def finish(self) -> None:
        """Refuses unknown keys that may change the mathematics; logs other unknown ones."""
        unknown = [
            key
            for key, value in self._config.items()
            if key not in self._asked
            and key not in HARMLESS
            and value not in (None, False, {}, [], "")
        ]
        risky = [key for key in unknown if any(word in key.lower() for word in MATHEMATICAL)]
        if risky:
            shown = ", ".join(f"{key!r} ({self._config[key]!r})" for key in sorted(risky)[:10])
            raise ConfigError(
                f"{self._where}: not supported, and likely to change what the model computes: "
                f"{shown}. If a key only served training, remove it from the file."
            )
        if unknown:
            log.warning("%s: unknown keys are ignored: %s", self._where, ", ".join(sorted(unknown)))


def _name(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a string")


def read_activation(read: ConfigReader, key: str, default: str) -> str:
    """A name of ACTIVATIONS."""
    activation = read.get(key, default)
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise read.error(key, f"expected one of {known}; got {activation!r}")
    return activation


def read_heads(read: ConfigReader, key: str, default: int, width: int) -> int:
    """A number of attention heads, a divisor of the hidden size `width`."""
    heads = read.get(key, default, at_least=1)
    if width % heads:
        raise read.error(key, f"expected a divisor of the hidden size {width}, got {heads}")
    return heads


def read_labels(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`labels`, `problem_type`, `architectures` of a classifier's config.

    Labels come from id2label, else they are LABEL_0 …, num_labels of them (2 by default), as in
    transformers' configuration_utils.py.
    """
    names = config.get("id2label")
    count = config.get("num_labels")
    if names is not None:
        if not isinstance(names, dict):
            raise ConfigError(f"{where}: 'id2label': expected an object, got {names!r}")
        try:
            by_id = {int(key): str(name) for key, name in names.items()}
        except ValueError:
            by_id = {}
        if sorted(by_id) != list(range(len(names))) or not names:
            raise ConfigError(f"{where}: 'id2label': expected the keys 0, 1, …, got {list(names)}")
        labels = tuple(by_id[i] for i in range(len(by_id)))
    else:
        count = 2 if count is None else count
        if type(count) is not int or not 1 <= count <= MAX_LABELS:
            raise ConfigError(f"{where}: 'num_labels': expected 1 to {MAX_LABELS}, got {count!r}")
        labels = tuple(f"LABEL_{i}" for i in range(count))
    problem_type = config.get("problem_type")
    known = (None, "regression", "single_label_classification", "multi_label_classification")
    if problem_type not in known:
        shown = ", ".join(str(name) for name in known[1:])
        raise ConfigError(f"{where}: 'problem_type': expected one of {shown}; got {problem_type!r}")
    architectures = config.get("architectures") or []
    return {
        "labels": labels,
        "problem_type": problem_type,
        "architectures": tuple(str(name) for name in architectures),
    }
