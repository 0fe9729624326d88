"""Which files make a model, by name alone: what is read, and what is never opened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lapwing.place import Place

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# of sentence-transformers
MODULES = "modules.json"
LIMITS = "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"

# Everything but weights that is ever fetched; a missing one is no error here.
SMALL_FILES = (
    CONFIG,
    GENERATION_CONFIG,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "chat_template.jinja",
    "chat_template.json",
    MODULES,
    LIMITS,
    PROMPTS,
)
MODULE_FOLDER = re.compile(r"\d+_\w+", re.ASCII)
_MODULE_FILE = re.compile(r"\d+_\w+/(config\.json|model\.safetensors)", re.ASCII)

_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".ot")


class NoWeightsError(Exception):
    """No safetensors to read; the text says what there is instead and what to do."""

    def __init__(self, text: str, only_pickles: bool = False) -> None:
        super().__init__(text)
        self.only_pickles = only_pickles


def choose_weights(names: Iterable[str], model: str, revision: str | None = None) -> list[str]:
    """Of a directory's file names, those that hold the weights: the index first where there is one.

    transformers' order: `model.safetensors`, else the index and its shards; else the only
    safetensors file there is. Raises NoWeightsError; `model` is what its text calls the model.
    """
    names = sorted(set(names))
    tensors = [name for name in names if name.endswith(".safetensors") and "/" not in name]
    if SINGLE in tensors:
        return [SINGLE]
    if INDEX in names:
        return [INDEX, *([name for name in tensors if _SHARD.fullmatch(name)] or tensors)]
    if len(tensors) == 1:
        return tensors
    if tensors:
        raise NoWeightsError(
            f"{model}: several safetensors files ({', '.join(tensors)}) but neither {SINGLE} nor "
            f"{INDEX}, "
            f"so which of them is the model is not known. Rename the right one to {SINGLE}."
        )
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if pickles:
        raise NoWeightsError(
            f"{model}: the weights are only in {', '.join(pickles)}. Lapwing reads safetensors and "
            "never opens "
            "formats that can run code on loading. Convert once, where transformers and torch are "
            "installed:\n"
            f"  {conversion(model, revision)}\n"
            "and then load the directory 'converted'.",
            only_pickles=True,
        )
    raise NoWeightsError(
        f"{model}: no safetensors file. Expected {SINGLE}, or {INDEX} with its shards; "
        f"found {', '.join(names) or 'nothing'}."
    )


def module_files(names: Iterable[str]) -> list[str]:
    """Files of the numbered folders that sentence-transformers puts its modules in."""
    return sorted(name for name in names if _MODULE_FILE.fullmatch(name))


def conversion(model: str, revision: str | None = None) -> str:
    """The command that writes `model` as safetensors to the directory `converted`."""
    source = repr(model) if revision is None else f"{model!r}, revision={revision!r}"
    return (
        'python -c "import transformers as t; '
        f"M = getattr(t, t.AutoConfig.from_pretrained({source}).architectures[0]); "
        f"M.from_pretrained({source}).save_pretrained('converted'); "
        f"t.AutoTokenizer.from_pretrained({source}).save_pretrained('converted')\""
    )


def list_names(directory: Path) -> list[str]:
    """File names in a directory; raises OSError."""
    return [path.name for path in directory.iterdir()]


def exists(path: Place) -> bool:
    """`Path.exists`, but False where it raises: no permission, or a name no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_dir(path: Place) -> bool:
    """`Path.is_dir`, but False where it raises."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
