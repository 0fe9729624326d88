"""Chat templates in the manners of well-known models, and conversations to render with them.

The templates are written for these tests: each has the turns, the white space control and the
Jinja features that templates of its kind have on the hub, not the words of any.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiny import write_gpt2

from lapwing.weights.hub import bundled_models

CHATML = """\
{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""

# One [INST] a pair of turns; the system's words go into the first. Strict about the order.
INST = """\
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{%- for message in turns %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('user and assistant must take turns, beginning with the user') }}
    {%- endif %}
    {%- if loop.first and system is defined %}
        {%- set content = '<<SYS>>\\n' ~ system ~ '\\n<</SYS>>\\n\\n' ~ message['content'] %}
    {%- else %}
        {%- set content = message['content'] %}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- else %}
        {{- ' ' ~ content.strip() ~ ' ' ~ eos_token }}
    {%- endif %}
{%- endfor %}
"""

# Headers; parts of a content; a first line that tells a date it is given.
HEADERS = """\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- macro text(content) %}
    {%- if content is string %}
        {{- content | trim }}
    {%- else %}
        {%- for part in content if part.type == 'text' %}
            {{- part.text | trim }}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday: " + date_string + "\\n\\n" }}
{%- for message in messages if message.role == 'system' %}
    {{- text(message.content) }}
{%- endfor %}
{{- "<|eot_id|>" }}
{%- for message in messages | rejectattr('role', 'equalto', 'system') %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {%- if message.tool_calls is defined %}
        {%- if message.tool_calls | length != 1 %}
            {{- raise_exception("one tool call at a time") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '{"name": "' ~ call.name ~ '", "parameters": ' ~ call.arguments | tojson ~ '}' }}
    {%- else %}
        {{- text(message['content']) }}
    {%- endif %}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

# Lines of `<|role|>`, each turn closed by the end token.
TAGS = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
"""

# Tools described as JSON, calls and their answers in tags, reasoning dropped before the last query.
TOOLS = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last_query=messages | length - 1, seen=false) %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' and not ns.seen %}
        {%- set ns.seen = true %}
        {%- set ns.last_query = messages | length - 1 - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {%- continue %}
    {%- endif %}
    {%- if message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- set content = message.content | default('') %}
        {%- set thought = message.reasoning_content | default('', true) %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if thought and loop.index0 > ns.last_query %}
            {{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- content }}
        {%- for call in message.tool_calls or [] %}
            {%- set call = call.function if call.function else call %}
            {{- '\\n<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' ~ message.content ~ '\\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

# The assistant is called model, and nobody is the system.
TURNS = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}\
{{ raise_exception('System role not supported') }}{% endif %}\
{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}\
{% endif %}\
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}\
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}\
{% endfor %}\
{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""

# The tag for training, whose names stay inside, and what Jinja makes of white space around it.
MARKED = """\
{% set name = 'outside' %}
{% for message in messages %}
  {# a comment #}
  {% if message.role == 'assistant' %}
    {% generation %}
      {% set name = 'inside' %}
{{ loop.index }}{{ message.content }}{{ name }}
    {% endgeneration %}
  {% else %}
<{{ message.role }}>{{ message.content }}
    {% if loop.index > 2 %}{% break %}{% endif %}
  {% endif %}
{% endfor %}
{{ name }}
"""

# Filters, tests, methods and globals that templates make use of.
WORKSHOP = """\
{%- set ns = namespace(text='', count=0) -%}
{%- for message in messages -%}
{%- set ns.count = ns.count + 1 -%}
{%- set ns.text = ns.text ~ message.role | upper ~ ':' -%}
{%- if message.content is string -%}
{%- set ns.text = ns.text + message.content.replace('\\n', ' ')[:40] | title -%}
{%- elif message.content is iterable -%}
{%- set ns.text = ns.text + message.content | map(attribute='type') | join('+') -%}
{%- endif -%}
{%- set ns.text = ns.text + ';' -%}
{%- endfor -%}
{{ ns.text }}|{{ ns.count * 2 ** 3 % 7 }}|{{ '%s of %d' % ('x', ns.count) }}|{{ '-' * 5 }}
{{ messages | tojson(indent=2) }}
{{ messages[0] | dictsort | list }}{{ messages[-1].keys() | sort | first }}
{{ dict(a=1, b=[true, none]) | tojson(separators=(',', ':'), sort_keys=true) }}
{{ (tools or []) | selectattr('type', 'equalto', 'function') | list | length }}
{{ range(3, 0, -1) | list }}{{ [1, 2, 3] | sum }}{{ [[1, 2], [3]] | map('length') | list }}
{{ "two\\nlines" | indent(4) }}|{{ 'abc' | center(9) }}|{{ 7 | string + '7' }}|{{ 3.5 | int }}
{{ "{}-{n}".format(1, n='two') }}{{ 'a,b'.split(',') }}{{ '<é&>' | tojson }}{{ none }}{{ true }}
{%- for key, value in {'x': 1, 'y': 2}.items() recursive %} {{ key }}{{ loop.length }}{% endfor %}
{%- macro again(n) -%}{{ n }}{% if n > 0 %}{{ again(n - 1) }}{% endif %}{%- endmacro %}
{{ again(3) }}
{%- macro around(n) -%}[{{ caller(n) }}]{%- endmacro %}
{%- filter upper %} shouted {% endfilter %}{% call(x) around(5) %}{{ x + 1 }}{% endcall %}
{{- documents is none }}{{ absent is defined }}{{ absent }}{{ pad_token | default('no pad', true) }}
"""

TEMPLATES = {
    "chatml": CHATML,
    "inst": INST,
    "headers": HEADERS,
    "tags": TAGS,
    "tools": TOOLS,
    "turns": TURNS,
    "marked": MARKED,
    "workshop": WORKSHOP,
}
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
# Tokens of their own in the tests' tokenizer; others are spelt in pieces.
TURN_TOKENS = ("<|im_start|>", "<|im_end|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>")

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather at a place, in “°C”",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
        },
    },
}
_ASKED = [
    {"role": "system", "content": "You are terse.\n"},
    {"role": "user", "content": "Is it <cold> in Kraków & Oslo?"},
]
_CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"place": "Kraków"}}}
_CALLED = [
    *_ASKED,
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "name": "get_weather", "content": "−3"},
]

# What `apply_chat_template` is called with: messages, tools, add_generation_prompt, and variables.
CONVERSATIONS: dict[str, dict[str, Any]] = {
    "one": {"messages": [{"role": "user", "content": "Hello"}]},
    "no prompt": {
        "messages": [{"role": "user", "content": "Hello"}],
        "add_generation_prompt": False,
    },
    "system": {"messages": _ASKED},
    "turns": {
        "messages": [
            {"role": "user", "content": "  Sing.\n\n"},
            {"role": "assistant", "content": "Tweet! 🐦 \n"},
            {"role": "user", "content": "Again"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "ünd</s>nöch<|im_end|>\n"},
        ]
    },
    "out of turn": {
        "messages": [
            {"role": "assistant", "content": "I begin."},
            {"role": "assistant", "content": "And go on."},
        ]
    },
    "tools": {"messages": _ASKED, "tools": [WEATHER, WEATHER]},
    "no tools": {"messages": _ASKED, "tools": []},
    "called": {"messages": _CALLED, "tools": [WEATHER]},
    "answered": {
        "messages": [
            *_CALLED,
            {"role": "tool", "content": "4"},
            {"role": "assistant", "reasoning_content": "−3 < 4", "content": "Kraków is colder."},
        ],
        "tools": [WEATHER],
        "add_generation_prompt": False,
    },
    "thoughts": {
        "messages": [
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": "<think>\nfour\n</think>\n\n4"},
            {"role": "user", "content": "And twice that?"},
            {"role": "assistant", "thinking": "eight", "content": "8", "tool_calls": None},
        ],
        "enable_thinking": False,
    },
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": " a "}, {"type": "image"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "b\n"}]},
        ],
        "date_string": "1 Jan 2025",
        "bos_token": "<BOS>",
    },
    "no content": {"messages": [{"role": "user"}]},
}


def write_tokenizer(directory: Path, template: str | None, **config: Any) -> Path:
    """The bundled tokenizer with turn tokens, `<s>` before every text, and a chat template."""
    import tokenizers
    from tokenizers import processors

    raw = tokenizers.Tokenizer.from_file(str(bundled_models()["tales"] / "tokenizer.json"))
    raw.add_special_tokens([*SPECIAL_TOKENS.values(), *TURN_TOKENS])
    begin = SPECIAL_TOKENS["bos_token"]
    raw.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, raw.token_to_id(begin))]
    )
    directory.mkdir(parents=True, exist_ok=True)
    raw.save(str(directory / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **SPECIAL_TOKENS, **config}
    if template is not None:
        settings["chat_template"] = template
    (directory / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return directory


def write_chat_model(
    directory: Path, template: str | None = CHATML, *, seed: int = 1, **gpt2: Any
) -> Path:
    """A tiny random GPT-2 that speaks with the tokenizer above."""
    shape: Mapping[str, Any] = {"n_embd": 16, "vocab_size": 2064, "n_positions": 256, **gpt2}
    write_gpt2(directory, seed=seed, **shape)
    return write_tokenizer(directory, template)


def copy_without_template(model: Path, directory: Path) -> Path:
    """The same weights and tokens, and no chat template."""
    shutil.copytree(model, directory)
    return write_tokenizer(directory, None)
