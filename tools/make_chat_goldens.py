"""Write tests/golden/chat_templates.json: what transformers makes of templates and conversations.

    python tools/make_chat_goldens.py

needs transformers (the `oracle` extra).  Templates and conversations are those of tests/chats.py;
a template that raises gives null.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from chats import CONVERSATIONS, TEMPLATES, write_tokenizer  # noqa: E402
from oracle import versions  # noqa: E402
from oracle_chats import ChatOracle  # noqa: E402

COMMAND = "python tools/make_chat_goldens.py"


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "tests/golden", help="folder (default: tests/golden)"
    )
    options = parser.parse_args()
    import jinja2

    cases: dict[str, dict[str, Any] | None] = {}
    for name, template in TEMPLATES.items():
        with tempfile.TemporaryDirectory() as folder:
            oracle = ChatOracle(write_tokenizer(Path(folder), template))
        for kind, conversation in CONVERSATIONS.items():
            applied = oracle.apply(conversation)
            cases[f"{name}/{kind}"] = None if applied is None else asdict(applied)
    facts = {"command": COMMAND, "versions": {**versions(), "jinja2": jinja2.__version__}}
    path = options.out / "chat_templates.json"
    path.write_text(dump(facts, cases), encoding="utf-8")
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1e3:.0f} kB")


def dump(facts: dict[str, Any], cases: dict[str, Any]) -> str:
    """JSON, a line a case."""
    lines = [f"  {json.dumps(key)}: {json.dumps(cases[key], ensure_ascii=False)}" for key in cases]
    head = json.dumps(facts, indent=1).removesuffix("\n}")
    return head + ',\n "cases": {\n' + ",\n".join(lines) + "\n }\n}\n"


if __name__ == "__main__":
    main()
