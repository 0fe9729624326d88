"""What transformers makes of a conversation; imported on first use, as in oracle.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Applied:
    """A conversation as text, and as ids."""

    text: str
    ids: list[int]


class ChatOracle:
    """`apply_chat_template` of the tokenizer in a directory."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(directory))

    def apply(self, conversation: Mapping[str, Any]) -> Applied | None:
        """None where the template raises."""
        arguments = {"add_generation_prompt": True, **conversation}
        messages = arguments.pop("messages")
        apply = self._tokenizer.apply_chat_template
        try:
            text = apply(messages, tokenize=False, **arguments)
        except Exception as error:
            # jinja2's errors, and TypeError of an expression; anything else is the oracle's own.
            if isinstance(error, TypeError) or type(error).__module__.startswith("jinja2"):
                return None
            raise
        return Applied(text, apply(messages, tokenize=True, return_dict=False, **arguments))
