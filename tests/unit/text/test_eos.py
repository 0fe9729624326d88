"""Which ids end a text: the generation configuration goes first."""

from __future__ import annotations

import pytest

from lapwing.errors import ConfigError
from lapwing.text.eos import eos_token_ids


def test_the_generation_configuration_goes_first() -> None:
    assert eos_token_ids({"eos_token_id": 2}, {"eos_token_id": [1, 3]}) == {1, 3}
    assert eos_token_ids({"eos_token_id": 2}, {"eos_token_id": None}) == {2}
    assert eos_token_ids({"eos_token_id": 2}, {}) == {2}
    assert eos_token_ids({}, {"eos_token_id": 0}) == {0}
    assert eos_token_ids({}, {}) == frozenset()


@pytest.mark.parametrize("value", ["</s>", True, -1, 2.0, [1, None], {}])
def test_what_is_no_id_is_refused(value: object) -> None:
    with pytest.raises(
        ConfigError, match=r"generation_config\.json: eos_token_id is .*, expected a"
    ):
        eos_token_ids({}, {"eos_token_id": value})
