"""`lapwing show`: what a model consists of, and what a precision of it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lapwing.cli import options
from lapwing.cli.terminal import print_json, table
from lapwing.units import format_bytes

if TYPE_CHECKING:
    from lapwing.advise.inventory import Amount, Inventory


def command(
    model: options.Model,
    dtype: options.Dtype = "auto",
    revision: options.Revision = None,
    json: options.Json = False,
) -> None:
    """Show a model's tensors and their bits.

    Tensors, recipe, and bits stored, resident and read per token, from file headers alone: no
    weight is read.
    """
    from lapwing.advise.inventory import take_inventory

    inventory = take_inventory(model, dtype, revision)
    if json:
        print_json(inventory)
        return
    print(_facts(model, inventory), _tensors(inventory), _recipe(inventory), sep="\n\n")
    print("\n" + _totals(inventory))


def _facts(name: str, inventory: Inventory) -> str:
    config = ", ".join(
        f"{key} {value}" for key, value in inventory.config.items() if key != "model_type"
    )
    return (
        f"{name}: {inventory.model_type}, {inventory.stored.weights:,} weights, "
        f"shown as {inventory.dtype}\n{inventory.directory}\n{config}"
    )


def _tensors(inventory: Inventory) -> str:
    rows = [
        (
            t.name,
            t.role,
            " × ".join(map(str, t.shape)),
            t.stored_dtype,
            t.held_as + (" in place" if t.in_place else ""),
            f"{t.held_bytes:,}",
        )
        for t in inventory.tensors
    ]
    return table(("tensor", "role", "shape", "file", "held as", "bytes"), rows, right="bytes")


def _recipe(inventory: Inventory) -> str:
    return table((f"recipe {inventory.dtype}", "stored", "read in a pass"), inventory.recipe)


def _totals(inventory: Inventory) -> str:
    def row(what: str, amount: Amount) -> tuple[str, ...]:
        return (
            what,
            f"{amount.nbytes:,}",
            format_bytes(amount.nbytes),
            f"{amount.weights:,}",
            f"{amount.bits_per_weight:.3f}",
        )

    rows = [
        row("stored in the file", inventory.stored),
        row(f"resident as {inventory.dtype}", inventory.resident),
        *(row(f"read per token, {p}", a) for p, a in inventory.read_per_token.items()),
    ]
    text = table(
        ("totals", "bytes", "", "weights", "bits per weight"),
        rows,
        right="bytes,,weights,bits per weight",
    )
    if inventory.tied:
        text += f"\n{', '.join(inventory.tied)}: token embedding and head in one, counted once"
    return text
