"""Chat templates: found, checked, rendered as tests/golden has it, and kept in their sandbox."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chats import CHATML, SPECIAL_TOKENS, TEMPLATES
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lapwing.errors import RequestError, TokenizerError
from lapwing.text import sandbox
from lapwing.text.chat import ChatTemplate, checked_variables

HELLO = [{"role": "user", "content": "Hello"}]


def rendered(source: str, messages: Any = HELLO, **arguments: Any) -> str:
    return ChatTemplate(Path("wren"), {"default": source}, SPECIAL_TOKENS).render(
        messages, **arguments
    )


def opened(directory: Path) -> ChatTemplate:
    template = ChatTemplate.open(directory)
    assert template is not None
    return template


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


# --- files --------------------------------------------------------------------------------------


def test_a_directory_without_a_template_has_none(tmp_path: Path) -> None:
    assert ChatTemplate.open(tmp_path) is None
    write_json(tmp_path / "tokenizer_config.json", {"eos_token": "</s>", "chat_template": None})
    assert ChatTemplate.open(tmp_path) is None
    with pytest.raises(RequestError, match=r"has no chat template \(looked for chat_template\.jin"):
        ChatTemplate.need(tmp_path)


def test_the_file_goes_before_the_settings_and_those_before_the_processors(tmp_path: Path) -> None:
    write_json(tmp_path / "chat_template.json", {"chat_template": "processor"})
    assert opened(tmp_path).render(HELLO) == "processor"
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": "settings"})
    assert opened(tmp_path).render(HELLO) == "settings"
    (tmp_path / "chat_template.jinja").write_text("file ü\r\n", encoding="utf-8")
    assert opened(tmp_path).render(HELLO) == "file ü"


@pytest.mark.parametrize("as_files", [True, False])
def test_one_of_several_is_chosen_by_the_tools_and_by_name(tmp_path: Path, as_files: bool) -> None:
    several = {"default": "plain", "tool_use": "{{ tools | length }} tools", "rag": "documents"}
    if as_files:
        (tmp_path / "additional_chat_templates").mkdir()
        for name, source in several.items():
            folder = "" if name == "default" else "additional_chat_templates"
            file = "chat_template.jinja" if name == "default" else f"{name}.jinja"
            (tmp_path / folder / file).write_text(source)
    else:
        listed = [{"name": name, "template": source} for name, source in several.items()]
        write_json(tmp_path / "tokenizer_config.json", {"chat_template": listed})
    template = opened(tmp_path)
    assert template.sources == several
    assert template.render(HELLO) == "plain"
    assert template.render(HELLO, tools=[{}, {}]) == "2 tools"
    assert template.render(HELLO, tools=[]) == "0 tools"
    assert template.render(HELLO, template="rag", tools=[{}]) == "documents"
    with pytest.raises(RequestError, match=r"no chat template 'x'; it has default, rag, tool_use"):
        template.render(HELLO, template="x")


def test_special_tokens_are_texts_or_objects(tmp_path: Path) -> None:
    source = "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ add_bos_token }}"
    (tmp_path / "chat_template.jinja").write_text(source)
    named = {"bos_token": "<s>", "eos_token": "old", "pad_token": "<pad>"}
    write_json(tmp_path / "special_tokens_map.json", named)
    settings = {"eos_token": {"content": "</s>", "lstrip": False}, "add_bos_token": True}
    write_json(tmp_path / "tokenizer_config.json", settings)
    template = opened(tmp_path)
    assert template.render(HELLO) == "<s>|</s>|<pad>|"
    assert template.render(HELLO, bos_token="<b>") == "<b>|</s>|<pad>|"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (3, "chat_template is '3', expected a text"),
        (["x"], r"chat_template is \"\['x'\]\", expected a text"),
        ([{"name": "default"}], "chat_template is .*expected a text"),
    ],
)
def test_damaged_settings_are_named(tmp_path: Path, value: Any, found: str) -> None:
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": value})
    with pytest.raises(TokenizerError, match=rf"tokenizer_config\.json: {found}"):
        ChatTemplate.open(tmp_path)


@pytest.mark.parametrize(("raw", "found"), [(b"\xff", "not UTF-8"), (b"", "the file is empty")])
def test_a_damaged_template_file_is_named(tmp_path: Path, raw: bytes, found: str) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(raw)
    with pytest.raises(TokenizerError, match=rf"chat_template\.jinja: {found}"):
        ChatTemplate.open(tmp_path)


# --- messages, tools, variables -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ("Hello", r"messages: expected a list like \[\{.*, got str"),
        ({"role": "user"}, "messages: expected a list .*, got dict"),
        (None, "messages: expected a list .*, got NoneType"),
        ([], "messages: expected at least one, got an empty list"),
        (["Hello"], r"messages\[0\]: expected a dict with role and content, got str"),
        ([*HELLO, {}], r"messages\[1\]: role is None, expected a text such as system, user or"),
        ([{"role": ""}], r"messages\[0\]: role is '', expected"),
        ([{"role": "user", "content": 3}], r"messages\[0\]: content is int, expected text or"),
        ([{"role": "user", "content": ["a"]}], r"messages\[0\]: content is list, expected text"),
        (
            [{"role": "user", "content": [{"image": np.zeros(3)}]}],
            r"messages\[0\]\['content'\]\[0\]\['image'\]: expected values as JSON .*, got ndarray",
        ),
    ],
)
def test_what_is_no_conversation_is_named(messages: Any, found: str) -> None:
    with pytest.raises(RequestError, match=found):
        rendered(CHATML, messages)


def test_a_conversation_without_an_end_is_no_crash() -> None:
    endless: dict[str, Any] = {"role": "user", "content": "Hello"}
    endless["self"] = endless
    with pytest.raises(RequestError, match=r"messages\[0\]\['self'\]: nested too deeply"):
        rendered(CHATML, [endless])


def test_a_template_sees_plain_copies() -> None:
    class Role(str, Enum):
        USER = "user"

    class Loud(dict[str, Any]):
        def shout(self) -> str:
            raise AssertionError("called from a template")

    message = Loud(role=Role.USER, content="Hello", n=True, f=np.float64(0.5), t=(1, "a"))
    source = "{{ messages[0].role }} {{ messages[0].shout is defined }} {{ messages | tojson }}"
    assert rendered(source, [message]) == (
        'user False [{"role": "user", "content": "Hello", "n": true, "f": 0.5, "t": [1, "a"]}]'
    )
    assert list(message) == ["role", "content", "n", "f", "t"]


def test_tools_are_dicts() -> None:
    assert rendered("{{ tools is none }}") == "True"
    with pytest.raises(RequestError, match="tools: expected a list of dicts, got dict"):
        rendered(CHATML, tools={})
    with pytest.raises(RequestError, match=r"tools\[1\]: expected a dict, got a Python function\."):
        rendered(CHATML, tools=[{}, rendered])
    with pytest.raises(RequestError, match=r"tools\[0\]: expected a dict, got str\. Describe it:"):
        rendered(CHATML, tools=["weather"])


def test_variables() -> None:
    assert rendered("{{ documents is none }} {{ documents | length }}", documents=[]) == "False 0"
    with pytest.raises(RequestError, match="date: expected values as JSON has them, got datetime"):
        rendered(CHATML, date=datetime.now())
    assert checked_variables({"enable_thinking": False}) == {"enable_thinking": False}
    for name in ("messages", "tools", "self", 3):
        with pytest.raises(RequestError, match=f"template_variables: {name!r} cannot be one"):
            checked_variables({name: 1})
    with pytest.raises(RequestError, match="template_variables: expected a dict, got list"):
        checked_variables(["x"])


def test_the_date_is_the_clocks() -> None:
    source = {"default": "{{ strftime_now('%d %b %Y') }}"}
    now = datetime(2025, 3, 1)
    assert ChatTemplate(Path(), source, {}, now=lambda: now).render(HELLO) == "01 Mar 2025"


def test_threads_share_a_template() -> None:
    template = ChatTemplate(Path(), {"default": TEMPLATES["tools"]}, SPECIAL_TOKENS)
    conversations = [HELLO * n for n in range(1, 17)]
    alone = [template.render(messages) for messages in conversations]
    together: dict[int, str] = {}

    def work(i: int) -> None:
        together[i] = template.render(conversations[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(conversations))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(len(conversations))] == alone


# --- templates that refuse, are broken, or mean harm --------------------------------------------


def test_a_refusal_is_told_in_the_templates_words() -> None:
    source = "{{ raise_exception('Only one message, please!') }}"
    with pytest.raises(RequestError) as caught:
        rendered(source)
    assert str(caught.value) == (
        "messages: the chat template of wren refuses them: Only one message, please!"
    )


@pytest.mark.parametrize(
    ("source", "messages", "found"),
    [
        ("\n{{ messages[0].content + 1 }}", HELLO, r"in line 2, .*\(TypeError: can only concat"),
        ("{{ messages[0].content }}{{ messages[1].role }}", HELLO, "has no element 1"),
        ("\n\n{{ nothing.at_all }}", HELLO, r"in line 3, .*'nothing' is undefined\)\. Perhaps it"),
    ],
)
def test_messages_a_template_has_no_words_for(source: str, messages: Any, found: str) -> None:
    with pytest.raises(RequestError, match=rf"^messages: .*{found}"):
        rendered(source, messages)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("\n{% if %}", "in line 2, its chat template cannot be compiled"),
        ("{{ 1 | shout }}", "in line 1, its chat template cannot be compiled .*'shout'"),
        ("{% poem %}", "unknown tag 'poem'"),
        ("{{ (" + "(" * 9000 + "1" + ")" * 9000 + ") }}", r"cannot be compiled \(RecursionError"),
        ("{% for a in [1] %}" * 50 + "{% endfor %}" * 50, r"cannot be compiled \(SyntaxError"),
        ("x" * (sandbox.MAX_SOURCE + 1), r"cannot be compiled \(it has 1,048,577 characters"),
    ],
)
def test_a_broken_template(source: str, found: str) -> None:
    with pytest.raises(TokenizerError, match=f"^wren: .*{found}"):
        rendered(source)


def test_which_of_several_is_broken_is_told() -> None:
    template = ChatTemplate(Path("wren"), {"default": "fine", "tool_use": "{% if %}"}, {})
    assert template.render(HELLO) == "fine"
    with pytest.raises(TokenizerError, match="its chat template 'tool_use' cannot be compiled"):
        template.render(HELLO, tools=[])


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ [].append.__self__.__class__.__base__ }}",
        "{{ raise_exception.__globals__.keys() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ (''|attr('__class__')).mro() }}",
        "{{ ''['__class__'].mro() }}",
        "{{ '{0.__class__.__mro__}'.format('').x }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='system') }}",
        "{% set ns = namespace(__class__=1) %}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{% import 'os' as os %}{{ os.system('true') }}",
        "{% from 'os' import system %}",
        "{% include '/etc/passwd' %}",
        "{% extends '/etc/passwd' %}",
    ],
)
def test_the_interpreter_is_out_of_reach(source: str) -> None:
    with pytest.raises(TokenizerError, match=r"may not|asks for another file"):
        rendered(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",
        "{% set f = '{0.__class__}'.format %}{{ f(1) }}",
        "{{ ['{0.__class__}']|map('attr', 'format')|map('string')|first|replace('<', '')|length }}",
        "{{ self.__init__ }}",
        "{{ dict.__class__ }}",
        "{{ messages|attr('__len__') }}",
        "{{ joiner['__init__'] }}",
    ],
)
def test_what_a_template_may_not_see_is_nothing(source: str) -> None:
    """An attribute that is out of reach is undefined, and prints as such."""
    assert "class" not in rendered(source)


BOUNDED: dict[str, str] = {
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "loops": "{% set r = range(99999) %}{% for i in r %}{% for k in r %}{% endfor %}{% endfor %}",
    "filtered loop": "{% set r = range(99999) %}{% for i in r if i < 0 %}{% endfor %}",
    "recursive loop": "{% set r = range(9999) %}{% for a in r recursive %}"
    "{% if loop.depth < 2 %}{{ loop(r) }}{% endif %}{% endfor %}",
    "deep recursion": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "wide recursion": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}"
    "{% endmacro %}{{ f(60) }}",
    "repeated text": "{{ 'x' * 10**12 }}",
    "repeated list": "{{ 10**12 * [1] }}",
    "power": "{{ 10 ** (10 ** 10) }}",
    "doubled": "{% set ns = namespace(s='xy') %}{% for i in range(60) %}"
    "{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "joined": "{% set ns = namespace(s='xy') %}{% for i in range(60) %}"
    "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "squared": "{% set ns = namespace(s=3) %}{% for i in range(60) %}"
    "{% set ns.s = ns.s * ns.s %}{% endfor %}",
    "percent": "{{ '%10000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (10**10, 1) }}",
    "percent filter": "{{ '%-10000000000d' | format(1) }}",
    "format": "{{ '{:10000000000}'.format(1) }}",
    "nested format": "{{ '{:{}}'.format(1, 10**10) }}",
    "format of markup": "{{ ('{:10000000000}' | escape).format(1) }}",
    "center": "{{ 'x' | center(10**10) }}",
    "folded center": "{{ 'x' | center(10000000000) }}",
    "block": "{% filter indent(width=10000000000, first=true) %}x{% endfilter %}",
    "method": "{{ 'x'.ljust(10**10) }}",
    "json": "{{ messages | tojson(indent=10000000000) }}",
    "output": "{% set s = 'x' * 2**20 %}{% for i in range(99) %}{{ s }}{% endfor %}",
}


@pytest.mark.parametrize("what", BOUNDED)
def test_what_runs_or_grows_without_end_is_stopped(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "MAX_STEPS", 20_000)
    with pytest.raises(TokenizerError, match="its chat template goes beyond its bounds"):
        rendered(BOUNDED[what])


PIECES = (
    *(
        "{{ ",
        " }}",
        "{% ",
        " %}",
        "{%- ",
        " -%}",
        "{# ",
        " #}",
        "\n",
        "x",
        "'",
        " | ",
        ".",
        "(",
        ")",
    ),
    *(
        "messages",
        "[0]",
        "['role']",
        "content",
        "namespace(a=1)",
        "ns",
        "loop",
        ".index",
        "range(3)",
    ),
    *("if ", "else", "endif", "for m in ", "endfor", "set ns = ", "macro f()", "endmacro", "f()"),
    *(
        "generation",
        "endgeneration",
        "break",
        "raise_exception",
        "tojson",
        "upper",
        "join",
        "+",
        "~",
    ),
    *(
        "1",
        "0",
        "**",
        "*",
        "%",
        "/",
        "-1",
        "none",
        "is defined",
        "in",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@example("{{ 1 / 0 }}")
@example("{{ [1][::0] }}")
@example("{% for m in messages recursive %}{{ loop(loop) }}{% endfor %}")
@example("{{ {}[[]] }}{{ {[]: 1} }}")
def test_any_template_gives_text_or_an_error_of_ours(source: str) -> None:
    with contextlib.suppress(RequestError, TokenizerError):
        assert isinstance(rendered(source), str)


def test_the_bounds_leave_room_for_long_conversations() -> None:
    """A thousand turns of five hundred words need a twentieth of the steps, and of the length."""
    messages = [
        {"role": "user" if i % 2 == 0 else "assistant", "content": "five hundred " * 250}
        for i in range(1000)
    ]
    for name in ("chatml", "tools", "headers", "inst", "workshop"):
        template = ChatTemplate(Path(), {"default": TEMPLATES[name]}, SPECIAL_TOKENS)
        text = template.render(messages)
        assert 1e5 < len(text) < sandbox.MAX_CHARACTERS / 2
        assert template._sandbox("default")._steps < sandbox.MAX_STEPS / 20


def test_a_rendering_that_was_stopped_leaves_nothing_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "MAX_STEPS", 100)
    render: Callable[..., str] = ChatTemplate(Path(), {"default": CHATML}, {}).render
    for _ in range(3):
        with pytest.raises(TokenizerError):
            render(HELLO * 200)
        assert render(HELLO * 50).count("Hello") == 50
