"""The modules of a sentence-transformers directory: what follows the encoder, and its limits.

modules.json lists them in order; each has a folder with a config.json of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lapwing.backends.base import POOLINGS
from lapwing.errors import ConfigError
from lapwing.place import Place
from lapwing.weights.files import LIMITS, MODULES, PROMPTS, exists
from lapwing.weights.jsonfile import read_json_object, read_json_objects

# Keys of a pooling config, in the order in which several are joined (models/Pooling.py).
POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Last part of the Python name of a torch module → the backend's
DENSE_ACTIVATIONS = {
    "Identity": None,
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "SiLU": "silu",
}


@dataclass(frozen=True)
class DenseModule:
    """activation(x·wᵀ + bias), weights in a folder of its own."""

    folder: str
    in_features: int
    out_features: int
    bias: bool
    activation: str | None


@dataclass(frozen=True)
class SentenceModules:
    """Pooling modes (joined in this order), dense layers, unit length; limits and prompts.

    A directory without modules.json (`found` False) is taken as sentence-transformers takes it:
    mean pooling.
    """

    found: bool = False
    pooling: tuple[str, ...] = ("mean",)
    dense: tuple[DenseModule, ...] = ()
    normalize: bool = False
    max_seq_length: int | None = None
    do_lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None


def read_sentence_modules(directory: Place) -> SentenceModules:
    """Raises ConfigError naming the file, for modules that are not supported, too."""
    if not exists(directory / MODULES):
        return SentenceModules()
    where = directory / MODULES
    pooling: tuple[str, ...] | None = None
    dense: list[DenseModule] = []
    normalize = False
    for position, module in enumerate(read_json_objects(where, ConfigError)):
        kind = str(module.get("type", "")).rpartition(".")[2]
        folder = directory / _folder(module.get("path", ""), where)
        if kind == "Transformer" and position == 0:
            if folder != directory:
                raise ConfigError(
                    f"{where}: the encoder is in {folder.name!r}, expected beside this file. "
                    "Save the model with a current sentence-transformers."
                )
        elif kind == "Pooling" and pooling is None:
            pooling = _pooling(folder / "config.json")
        elif kind == "Dense" and pooling is not None and not normalize:
            dense.append(_dense(folder))
        elif kind == "Normalize" and pooling is not None:
            normalize = True
        else:
            raise ConfigError(
                f"{where}: module {position} is {kind!r}; expected Transformer, then Pooling, "
                "then any of Dense, then perhaps Normalize"
            )
    if pooling is None:
        raise ConfigError(f"{where}: no Pooling module, so a text has no single vector")
    limits, prompts = _optional(directory / LIMITS), _optional(directory / PROMPTS)
    return SentenceModules(
        True,
        pooling,
        tuple(dense),
        normalize,
        max_seq_length=_whole(limits, "max_seq_length", directory / LIMITS),
        do_lower_case=limits.get("do_lower_case") is True,
        **_prompts(prompts, directory / PROMPTS),
    )


def _folder(path: object, where: Place) -> str:
    parts = Path(path).parts if isinstance(path, str) else ("..",)
    if ".." in parts or Path(*parts).is_absolute():
        raise ConfigError(f"{where}: 'path': expected a folder beside this file, got {path!r}")
    return str(path)


def _pooling(path: Place) -> tuple[str, ...]:
    config = read_json_object(path, ConfigError)
    if isinstance(config.get("pooling_mode"), str):
        modes: tuple[str, ...] = (config["pooling_mode"],)
    else:
        modes = tuple(mode for key, mode in POOLING_KEYS.items() if config.get(key) is True)
    for mode in modes:
        if mode not in POOLINGS:
            raise ConfigError(
                f"{path}: pooling mode {mode!r} is not supported; {', '.join(POOLINGS)} are"
            )
    if not modes:
        raise ConfigError(f"{path}: no pooling mode is true; expected one of {list(POOLING_KEYS)}")
    if config.get("include_prompt") is False:
        raise ConfigError(f"{path}: 'include_prompt': false is not supported")
    return modes


def _dense(folder: Place) -> DenseModule:
    path = folder / "config.json"
    config = read_json_object(path, ConfigError)
    sizes = [_whole(config, key, path) for key in ("in_features", "out_features")]
    if None in sizes:
        raise ConfigError(f"{path}: expected 'in_features' and 'out_features'")
    name = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if name not in DENSE_ACTIVATIONS:
        known = ", ".join(DENSE_ACTIVATIONS)
        raise ConfigError(f"{path}: 'activation_function': expected one of {known}; got {name!r}")
    return DenseModule(
        folder.name,
        in_features=sizes[0] or 0,
        out_features=sizes[1] or 0,
        bias=config.get("bias", True) is not False,
        activation=DENSE_ACTIVATIONS[name],
    )


def _prompts(config: Mapping[str, Any], where: Place) -> dict[str, Any]:
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    texts = isinstance(prompts, dict) and all(isinstance(text, str) for text in prompts.values())
    if not texts or (default is not None and default not in prompts):
        raise ConfigError(
            f"{where}: expected 'prompts', names and texts, and 'default_prompt_name' among them; "
            f"got {prompts!r} and {default!r}"
        )
    return {"prompts": prompts, "default_prompt_name": default}


def _optional(path: Place) -> dict[str, Any]:
    return read_json_object(path, ConfigError) if exists(path) else {}


def _whole(config: Mapping[str, Any], key: str, path: Place) -> int | None:
    value = config.get(key)
    if value is not None and (type(value) is not int or value < 1):
        raise ConfigError(f"{path}: {key!r}: expected a whole number ≥ 1, got {value!r}")
    return value
