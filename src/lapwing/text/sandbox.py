"""Where a chat template runs: jinja2's sandbox as transformers sets it up, with an end to it.

A template comes with a checkpoint and nobody vouches for it. The sandbox keeps it away from
everything but its variables; the bounds stop one that runs or grows without end. A template built
to fill the memory (lists within lists, printed) still can: that is the harm it is able to do.

Filters, globals and tags are those of transformers 5.24, utils/chat_template_utils.py.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Namespace

# Contexts hold a million tokens at most, as yet: a few million characters.
MAX_CHARACTERS = 1 << 24
# A turn of a loop is one, a call ten: some seconds. A thousand messages take ten thousand.
MAX_STEPS = 1_000_000
STEPS_OF_A_CALL = 10
MAX_SOURCE = 1 << 20
MAX_BITS = 1 << 14  # of a product of whole numbers
PADDING_FILTERS = ("batch", "center", "indent", "slice", "tojson", "truncate", "wordwrap")
_WIDE_FORMAT = re.compile(r"%[^%a-zA-Z]*(\*|\d{7})")
_WIDE_SPEC = re.compile(r"\d{7}")


class RefusalError(jinja2.TemplateError):
    """The template's own `raise_exception`: it does not take these messages."""


class BoundsError(jinja2.TemplateRuntimeError):
    """The template ran too long, or made too much."""


class Sandbox(ImmutableSandboxedEnvironment):
    """One template, compiled. Raises what jinja2 does, and whatever its expressions may raise."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, source: str, now: Callable[[], datetime] = datetime.now) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_GenerationTag, loopcontrols],
            loader=jinja2.DictLoader({}),  # there is no other template to import or include
        )
        self.filters |= {
            "tojson": _to_json,
            "format": _percent,
            "_counted": pass_context(lambda _, values: self._counted(values)),
            "_narrow": _narrow,
            "_sized": _sized,
        }
        del self.globals["lipsum"]  # made-up text, as much as one asks for
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": lambda format: now().strftime(format),
            "dict": _Dict(),
            "namespace": _Namespace,
        }
        if len(source) > MAX_SOURCE:
            raise BoundsError(f"it has {len(source):,} characters; {MAX_SOURCE:,} are allowed")
        self._steps = 0
        self._lock = threading.Lock()  # the count is one rendering's
        self._template = self.from_string(_bounded(self.parse(source)))

    def run(self, variables: Mapping[str, Any]) -> str:
        """The text it makes of its variables."""
        pieces: list[str] = []
        length = 0
        with self._lock:
            self._steps = 0
            for piece in self._template.generate(variables):
                length += len(piece)
                if length > MAX_CHARACTERS:
                    raise BoundsError(f"it makes more than {MAX_CHARACTERS:,} characters")
                pieces.append(piece)
        return "".join(pieces)

    # Names that no keyword argument of a template's call can have.
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Every call a template makes, of macros and of its values' methods."""
        __self._step(STEPS_OF_A_CALL)
        if isinstance(__obj, LoopContext):  # loop(children), in a recursive loop
            args = tuple(__self._counted(values) for values in args)
        elif isinstance(getattr(__obj, "__self__", None), str):
            for value in (*args, *kwargs.values()):
                _narrow(value)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Operators whose result may be much larger than what they are given."""
        if operator == "%":
            _check_format(left)
        elif operator != "+":
            _check_product(operator, left, right)
        return _sized(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format` and `str.format_map` with this sandbox's eyes on what they reach."""
        if super().wrap_str_format(value) is None:
            return None
        spelt, formatter = value.__self__, _Formatter(self)
        if value.__name__ == "format_map":
            return lambda values: formatter.vformat(spelt, (), values)
        return lambda *args, **kwargs: formatter.vformat(spelt, args, kwargs)

    def _counted(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self._step()
            yield value

    def _step(self, steps: int = 1) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise BoundsError(f"it takes more than {MAX_STEPS:,} steps")


class _GenerationTag(Extension):
    """`{% generation %}`: marks what an assistant wrote, for training; here the text alone."""

    tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    def _inside(self, caller: Macro) -> str:
        return caller()


class _Formatter(SandboxedFormatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if _WIDE_SPEC.search(format_spec):
            raise BoundsError(f"its format {format_spec[:40]!r} is too wide")
        return str(super().format_field(value, format_spec))


class _Dict:
    """`dict(…)` and `dict.fromkeys(…)`, without the type that has them."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """Attributes with an underscore in front lead into the interpreter: there are none."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # as jinja2 has it: `self` may be a name
        self, *given = args
        attributes = dict(*given, **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot have an attribute {name!r}")


def _raise_exception(message: object) -> None:
    raise RefusalError(str(message))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """jinja2's own filter escapes `<`, `>`, `&` and `'` for web pages."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _percent(value: Any, *args: Any, **kwargs: Any) -> str:
    """`value % args`, as jinja2's filter `format`."""
    _check_format(value)
    return str(value) % (kwargs or args)


def _bounded(tree: nodes.Template) -> nodes.Template:
    """Has the turns of loops counted, and what `~` and padding filters are given looked at."""

    def passed_through(name: str, node: nodes.Node) -> nodes.Filter:
        through = nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
        through.environment = tree.environment
        return through

    for loop in list(tree.find_all(nodes.For)):
        loop.iter = passed_through("_counted", loop.iter)
    for joined in list(tree.find_all(nodes.Concat)):
        joined.nodes = [passed_through("_sized", node) for node in joined.nodes]
    for padding in [f for f in tree.find_all(nodes.Filter) if f.name in PADDING_FILTERS]:
        padding.args = [passed_through("_narrow", argument) for argument in padding.args]
        for keyword in padding.kwargs:
            keyword.value = passed_through("_narrow", keyword.value)
    return tree


def _check_format(value: Any) -> None:
    if isinstance(value, str) and _WIDE_FORMAT.search(value):
        raise BoundsError(f"its format {value[:40]!r} is too wide")


def _check_product(operator: str, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length()
        if bits + right.bit_length() > MAX_BITS:
            raise BoundsError(f"its {operator} of whole numbers is too large")
    for values, times in ((left, right), (right, left)):
        if isinstance(values, (str, list, tuple)) and isinstance(times, int):
            _check_length(len(values) * times)


def _narrow(value: Any) -> Any:
    """A width or a count that a method or filter is given."""
    if isinstance(value, int):
        _check_length(value)
    return value


def _sized(value: Any) -> Any:
    if isinstance(value, (str, list, tuple)):
        _check_length(len(value))
    return value


def _check_length(length: int) -> None:
    if length > MAX_CHARACTERS:
        raise BoundsError(f"it asks for {length:,} characters; {MAX_CHARACTERS:,} are allowed")
