"""Where a checkpoint keeps its chat templates, and the special tokens they write."""

from __future__ import annotations

from lapwing.errors import TokenizerError
from lapwing.place import Place
from lapwing.text.tokenizer_files import named_tokens, read_file, read_object, read_settings

TEMPLATE, SETTINGS, PROCESSOR = "chat_template.jinja", "tokenizer_config.json", "chat_template.json"
MORE_TEMPLATES = "additional_chat_templates"
DEFAULT = "default"


def read_special_tokens(directory: Place) -> dict[str, str]:
    """`bos_token` and its like → text, as far as the settings name them."""
    return named_tokens(read_settings(directory))


def read_chat_templates(directory: Place) -> dict[str, str]:
    """Name → Jinja source, where transformers' tokenizers look for it; {} without any.

    The files written for it, else `chat_template` of tokenizer_config.json, else that of
    chat_template.json, which belongs to processors of images and sound.
    """
    files = {path.stem: path for path in _sorted(directory / MORE_TEMPLATES)}
    if (directory / TEMPLATE).is_file():
        files[DEFAULT] = directory / TEMPLATE
    if files:
        return {name: _read_text(path) for name, path in files.items()}
    for path in (directory / SETTINGS, directory / PROCESSOR):
        if path.is_file() and (found := _templates_of(path)):
            return found
    return {}


def _sorted(folder: Place) -> list[Place]:
    return sorted(folder.glob("*.jinja"), key=str)


def _templates_of(path: Place) -> dict[str, str]:
    value = read_object(path).get("chat_template")
    if value is None:
        return {}
    if isinstance(value, str):
        return {DEFAULT: value}
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        value = {str(item.get("name")): item.get("template") for item in value}
    if isinstance(value, dict) and all(isinstance(source, str) for source in value.values()):
        return value
    raise TokenizerError(
        f"{path}: chat_template is {str(value)[:80]!r}, expected a text, or a list of objects with "
        "a name and a template. Fetch the file again."
    )


def _read_text(path: Place) -> str:
    try:
        return read_file(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{path}: not UTF-8 text (byte {error.start}). Fetch the file again."
        ) from None
