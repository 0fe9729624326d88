"""Conversations that are new in every run, asked of the installed transformers.

A failure names the seed, and LAPWING_TEST_SEED repeats it.
"""

from __future__ import annotations

import os
import random
import secrets
from pathlib import Path
from typing import Any

import pytest
from chats import CONVERSATIONS, TEMPLATES, WEATHER, write_tokenizer
from oracle_chats import ChatOracle

from lapwing.errors import RequestError
from lapwing.text.chat import ChatTemplate
from lapwing.text.tokenizer import Tokenizer

pytest.importorskip("transformers", reason="the live comparison needs transformers")

ROUNDS = 25
WORDS = (
    *(
        "Hello",
        "  ",
        "\n",
        "<|im_end|>",
        "</s>",
        "[INST]",
        "ü",
        "🐦",
        "{{ 1 }}",
        "{% if %}",
        "'",
        '"',
    ),
    *("<think>", "</think>", "&amp;", "\\n", "\t", "¿?", "中文", "\u2028", "a\r\nb", "%s"),
)


def random_conversation(seed: int) -> dict[str, Any]:
    """Mostly in turns; words that mean something to a template, and to a tokenizer."""
    rng = random.Random(seed)
    roles = ["user", "assistant"] * rng.randint(1, 3)
    if rng.random() < 0.4:
        roles.insert(0, "system")
    if rng.random() < 0.2:
        rng.shuffle(roles)
    messages = [
        {"role": role, "content": "".join(rng.choices(WORDS, k=rng.randint(0, 6)))}
        for role in roles[: rng.randint(1, len(roles))]
    ]
    arguments: dict[str, Any] = {
        "messages": messages,
        "add_generation_prompt": rng.random() < 0.7,
    }
    if rng.random() < 0.3:
        arguments["tools"] = [WEATHER] * rng.randint(0, 2)
    if rng.random() < 0.3:
        arguments["enable_thinking"] = rng.random() < 0.5
    return arguments


@pytest.mark.parametrize("name", TEMPLATES)
def test_conversations(name: str, tmp_path: Path) -> None:
    directory = write_tokenizer(tmp_path, TEMPLATES[name])
    oracle, tokenizer = ChatOracle(directory), Tokenizer.open(directory)
    template = ChatTemplate.open(directory)
    assert template is not None
    first = int(os.environ.get("LAPWING_TEST_SEED", secrets.randbelow(2**31)))
    seeds = range(first, first + ROUNDS)
    cases = {
        **CONVERSATIONS,
        **{f"LAPWING_TEST_SEED={seed}": random_conversation(seed) for seed in seeds},
    }
    for what, conversation in cases.items():
        expected = oracle.apply(conversation)
        if expected is None:
            with pytest.raises(RequestError):
                template.render(**conversation)
            continue
        text = template.render(**conversation)
        assert text == expected.text, what
        assert tokenizer.encode(text, add_special_tokens=False) == expected.ids, what
