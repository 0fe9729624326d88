"""The text that is measured with where no other is given: plain prose, written for this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

DEFAULT_TEXT = """\
The lapwing is a bird of wet meadows and ploughed land. In spring the males tumble through the air
above their ground, and the sound of their wings carries far across the fields. Four eggs lie in a
shallow scrape on the open earth, each with its point to the middle, coloured so much like the soil
that a walker may pass within a step of them. If a fox comes near, the old bird runs from the nest
before it rises, cries, drags one wing as though it were broken, and leads the stranger away until
there is nothing left to find.

A small computer on a kitchen table has a day of its own as well. In the morning it is cold, the
battery is full, and everything it is asked for is done at once. Towards noon somebody opens a long
report, a film, and thirty pages that will never be read. The fan begins to turn. What took one
second now takes two, not because the program has become worse but because the machine has become
warm, and a warm machine is told to go slowly. By the evening the cable is forgotten in another
room, the screen is dim, and each sum is paid for out of what is left.

Whoever wants to know how fast a program is must therefore say when, and on what, and beside which
others. A number that was taken once, in the morning, proves that it was morning. Take it many
times, let each candidate have its turn in an order drawn by lot, look at a fixed piece of work in
between to see whether the ground itself has moved, and keep what was seen together with the
weather it was seen in. Then the numbers may be laid side by side. If they lie close together, say
so; if they are far apart, say how far, and how sure you are. And where nothing could be measured,
leave the place empty and write down why: an empty place is honest, and somebody else may fill it.

In the old harbour the boats are numbered by the year in which they were built. There are eleven of
them, and the youngest is older than the man who paints it. He begins with the hull, in March, when
the sun reaches the wall behind the ropes at nine o'clock, and he ends with the name, because a boat
without a name, he says, may still change its mind. Children bring him shells and ask which of the
boats is the fastest. He looks at them for a while. It depends on the wind, he answers, and on who
is waiting at the other side.
"""


class Tokenizer(Protocol):
    """Text to ids."""

    def encode(self, text: str) -> Sequence[int]:
        """Special tokens included, as the model reads texts."""


def text_of_tokens(tokenizer: Tokenizer, count: int, source: str = DEFAULT_TEXT) -> str:
    """Words from the beginning of a text, over and over if need be, that are `count` tokens.

    Fewer where no prefix is of exactly that length: never more.
    """
    words = source.split()
    repeats = 1
    while (
        len(tokenizer.encode(" ".join(words * repeats))) < count
        and repeats * len(words) < 4 * count  # of a tokenizer that cuts, no more can be had
    ):
        repeats *= 2
    words = words * repeats
    low, high = 0, len(words)  # of low words is short enough, of high perhaps not
    while low < high:
        middle = (low + high + 1) // 2
        if len(tokenizer.encode(" ".join(words[:middle]))) <= count:
            low = middle
        else:
            high = middle - 1
    text = " ".join(words[:low])
    for letter in " " + words[low] if low and low < len(words) else words[0]:
        longer = text + letter
        if len(tokenizer.encode(longer)) > count:
            break
        text = longer
    return text
