"""A conversation of several turns: the template is the checkpoint's own, one KV cache serves all.

    python examples/chat.py [MODEL] [--dtype int4] MESSAGE …

`lapwing run MODEL --chat` does this on a terminal; here the loop is in the open.
"""

from __future__ import annotations

import argparse

import lapwing

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
MESSAGES = ("Name a bird that nests on the ground.", "And one that nests in trees.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=MODEL, help="directory or hub id")
    parser.add_argument("messages", nargs="*", default=MESSAGES, help="what you say, in turn")
    parser.add_argument("--dtype", default="auto", help="f32, f16, bf16, int8 (auto) or int4")
    parser.add_argument("--max-tokens", type=int, default=200, help="of one answer")
    arguments = parser.parse_args()

    with lapwing.load(arguments.model, dtype=arguments.dtype) as model:
        messages: list[dict[str, str]] = []
        cache = model.kv_cache()  # holds the turns before: only what is new is computed
        for text in arguments.messages:
            messages.append({"role": "user", "content": text})
            print(f"> {text}")
            stream = model.chat_stream(messages, cache=cache, max_tokens=arguments.max_tokens)
            for piece in stream:
                print(piece.text, end="", flush=True)
            answer = stream.result
            print(f"\n({len(answer.tokens)} tokens, {answer.finish_reason})")
            messages.append({"role": "assistant", "content": answer.text})


if __name__ == "__main__":
    main()
