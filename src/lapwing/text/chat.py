"""Conversations as the text a model was trained on: the chat template of its checkpoint."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lapwing.errors import RequestError, TokenizerError
from lapwing.place import AnyPlace, Place, as_place
from lapwing.text.chat_files import DEFAULT, read_chat_templates, read_special_tokens

if TYPE_CHECKING:
    from lapwing.text.sandbox import Sandbox

TOOL_USE = "tool_use"  # the template for conversations with tools, where there are several
LOOKED_FOR = "chat_template.jinja, and chat_template in tokenizer_config.json"
# Spellings of one key: templates read the first, gpt-oss's the second.
REASONING = ("reasoning_content", "thinking", "reasoning")
# What `render` takes beside variables.
OURS = ("self", "messages", "tools", "add_generation_prompt", "template")


@dataclass(frozen=True)
class ChatTemplate:
    """Made by `open`. Renders what transformers' `apply_chat_template` does.

    sources: by name; a checkpoint with one template calls it "default". special_tokens: `bos_token`
    and its like, which a template writes itself.
    """

    directory: Place
    sources: Mapping[str, str]
    special_tokens: Mapping[str, str]
    now: Callable[[], datetime] = datetime.now
    _compiled: dict[str, Sandbox] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, directory: AnyPlace) -> ChatTemplate | None:
        """None where the directory has no template. Raises TokenizerError for a damaged file."""
        path = as_place(directory)
        sources = read_chat_templates(path)
        return cls(path, sources, read_special_tokens(path)) if sources else None

    @classmethod
    def need(cls, directory: AnyPlace) -> ChatTemplate:
        """As `open`; raises RequestError where there is no template, with what to do."""
        template = cls.open(directory)
        if template is None:
            raise RequestError(
                f"chat: {as_place(directory)} has no chat template (looked for {LOOKED_FOR}): it "
                "was not trained to converse. Continue a prompt of your own (generate, or lapwing "
                "run without --chat), or take a checkpoint trained to chat, often called -Instruct "
                "or -chat."
            )
        return template

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        template: str | None = None,
        **variables: Any,
    ) -> str:
        """The conversation as text, up to where the assistant speaks.

        messages: objects with a role and, mostly, a content; every other key passes through, as do
        tools (JSON schemas) and variables. template: the name of one of several. Raises
        RequestError for what is no conversation, or none this template takes; TokenizerError for a
        template that is broken.
        """
        name = self._choose(template, tools)
        values = {
            "documents": None,
            **self.special_tokens,
            **{key: _plain(value, key) for key, value in variables.items()},
            "messages": _checked_messages(messages),
            "tools": _checked_tools(tools),
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._sandbox(name).run(values)
        except Exception as error:
            raise self._explained(error, name) from error

    def _choose(self, template: str | None, tools: object) -> str:
        if template is None:
            template = TOOL_USE if tools is not None and TOOL_USE in self.sources else DEFAULT
        if template in self.sources:
            return template
        raise RequestError(
            f"template: {self.directory} has no chat template {template!r}; it has "
            f"{', '.join(sorted(self.sources))}"
        )

    def _sandbox(self, name: str) -> Sandbox:
        if name not in self._compiled:
            from lapwing.text.sandbox import Sandbox

            try:
                self._compiled[name] = Sandbox(self.sources[name], self.now)
            except Exception as error:  # of jinja2, or of Python on what jinja2 made of it
                raise self._broken(name, "cannot be compiled", error) from error
        return self._compiled[name]

    def _explained(self, error: Exception, name: str) -> RequestError | TokenizerError:
        from jinja2.exceptions import SecurityError, TemplateNotFound

        from lapwing.text.sandbox import BoundsError, RefusalError

        if isinstance(error, (RequestError, TokenizerError)):
            return error
        if isinstance(error, RefusalError):
            return RequestError(
                f"messages: the chat template of {self.directory} refuses them: {error}"
            )
        if isinstance(error, SecurityError):
            return self._broken(name, "does what a template may not", error)
        if isinstance(error, TemplateNotFound):
            return self._broken(name, "asks for another file", error)
        if isinstance(error, (BoundsError, RecursionError, MemoryError, OverflowError)):
            return self._broken(name, "goes beyond its bounds", error)
        return RequestError(
            f"messages: {_line(error)}the chat template of {self.directory} cannot write them "
            f"({_reason(error)}). Perhaps it expects other roles or another order, or text as "
            "content."
        )

    def _broken(self, name: str, what: str, error: Exception) -> TokenizerError:
        which = "" if name == DEFAULT else f" {name!r}"
        return TokenizerError(
            f"{self.directory}: {_line(error)}its chat template{which} {what} "
            f"({_reason(error)}). Mend it, or write the prompt yourself and use generate."
        )


def checked_variables(variables: Any) -> dict[str, Any]:
    """Those that `render` takes for variables. Raises RequestError."""
    if not isinstance(variables, Mapping):
        raise RequestError(f"template_variables: expected a dict, got {type(variables).__name__}")
    for name in variables:
        if not isinstance(name, str) or name in OURS:
            raise RequestError(f"template_variables: {name!r} cannot be one")
    return dict(variables)


def _reason(error: Exception) -> str:
    message = getattr(error, "message", None)  # of jinja2's own errors
    return message or f"{type(error).__name__}: {error}"


def _line(error: Exception) -> str:
    """`'in line 3, '`, of the template, where jinja2 knows it."""
    from jinja2.exceptions import TemplateSyntaxError

    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == "<template>"]
    if isinstance(error, TemplateSyntaxError):
        lines.append(error.lineno)
    return f"in line {lines[-1]}, " if lines else ""


def _checked_messages(messages: Any) -> list[dict[str, Any]]:
    """As plain values. Raises RequestError naming the message."""
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise RequestError(
            'messages: expected a list like [{"role": "user", "content": "Hello"}], got '
            f"{type(messages).__name__}"
        )
    if not messages:
        raise RequestError("messages: expected at least one, got an empty list")
    return [_checked_message(message, f"messages[{i}]") for i, message in enumerate(messages)]


def _checked_message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise RequestError(
            f"{where}: expected a dict with role and content, got {type(message).__name__}"
        )
    # Templates write a None as "None"; of a key that is not there they know what to make.
    plain = {k: _plain(v, f"{where}[{k!r}]") for k, v in message.items() if v is not None}
    role, content = plain.get("role"), plain.get("content", "")
    if not isinstance(role, str) or not role:
        raise RequestError(
            f"{where}: role is {role!r}, expected a text such as system, user or assistant"
        )
    is_parts = isinstance(content, list) and all(isinstance(part, dict) for part in content)
    if not isinstance(content, str) and not is_parts:
        raise RequestError(
            f"{where}: content is {type(content).__name__}, expected text or a list of dicts "
            '(parts: {"type": "text", "text": …})'
        )
    reasoning = next((plain[key] for key in REASONING if key in plain), None)
    if reasoning is None:
        return plain
    return {"thinking": reasoning, **plain, "reasoning_content": reasoning}


def _checked_tools(tools: Any) -> list[Any] | None:
    if tools is None:
        return None
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Sequence):
        raise RequestError(f"tools: expected a list of dicts, got {type(tools).__name__}")
    for i, tool in enumerate(tools):
        if not isinstance(tool, Mapping):
            what = "a Python function" if callable(tool) else f"{type(tool).__name__}"
            raise RequestError(
                f"tools[{i}]: expected a dict, got {what}. Describe it: "
                '{"type": "function", "function": {"name": …, "description": …, "parameters": '
                "a JSON schema}}; transformers.utils.get_json_schema makes one of a function."
            )
    return [_plain(tool, f"tools[{i}]") for i, tool in enumerate(tools)]


def _plain(value: Any, where: str) -> Any:
    """A copy of JSON's own types: a template must not reach the methods of any other."""
    try:
        return _plain_copy(value, where)
    except RecursionError:
        raise RequestError(f"{where}: nested too deeply") from None


def _plain_copy(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # str() of an enum's member is its name
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, Mapping):
        return {
            _plain_copy(key, where): _plain_copy(item, f"{where}[{key!r}]")
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain_copy(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise RequestError(f"{where}: expected values as JSON has them, got {type(value).__name__}")
