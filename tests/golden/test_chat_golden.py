"""Conversations rendered and tokenized as transformers renders and tokenizes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chats import CONVERSATIONS, TEMPLATES, write_tokenizer

from lapwing.errors import RequestError
from lapwing.text.chat import ChatTemplate
from lapwing.text.tokenizer import Tokenizer

GOLDEN = json.loads((Path(__file__).parent / "chat_templates.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[ChatTemplate, Any]]:
    """Template and tokenizer of a directory, by the template's name."""
    made: dict[str, tuple[ChatTemplate, Any]] = {}

    def of(name: str) -> tuple[ChatTemplate, Any]:
        if name not in made:
            directory = write_tokenizer(tmp_path_factory.mktemp("chat"), TEMPLATES[name])
            template = ChatTemplate.open(directory)
            assert template is not None
            made[name] = template, Tokenizer.open(directory)
        return made[name]

    return of


@pytest.mark.parametrize("kind", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_conversation(name: str, kind: str, opened: Any) -> None:
    """Text and ids; what raises there is refused here."""
    template, tokenizer = opened(name)
    expected = GOLDEN["cases"][f"{name}/{kind}"]
    if expected is None:
        with pytest.raises(RequestError, match=r"^messages: .*chat template of"):
            template.render(**CONVERSATIONS[kind])
        return
    text = template.render(**CONVERSATIONS[kind])
    assert text == expected["text"]
    assert tokenizer.encode(text, add_special_tokens=False) == expected["ids"]


def test_most_cases_are_no_refusals() -> None:
    cases = GOLDEN["cases"]
    assert cases.keys() == {f"{name}/{kind}" for name in TEMPLATES for kind in CONVERSATIONS}
    for name in TEMPLATES:
        rendered = [cases[f"{name}/{kind}"] is not None for kind in CONVERSATIONS]
        assert sum(rendered) >= len(rendered) / 2, name


def test_the_templates_own_begin_token_is_the_only_one(opened: Any) -> None:
    """The tokenizer of these tests puts `<s>` before every text, as Llama's does."""
    template, tokenizer = opened("turns")
    text = template.render([{"role": "user", "content": "Hello"}])
    begin = tokenizer.encode("<s>", add_special_tokens=False)
    assert tokenizer.encode(text)[:2] == begin * 2
    assert tokenizer.encode(text, add_special_tokens=False)[:2] != begin * 2
