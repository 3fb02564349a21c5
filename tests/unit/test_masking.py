from __future__ import annotations

import pytest

from cornerstone.errors import AssetError
from cornerstone.masking import masked, secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "no answer from https://me:a%20word@mirror.example/simple",
            "no answer from https://***@mirror.example/simple",
        ),
        ("http://a-token@host:80", "http://***@host:80"),
        ("what it says: decoded word, sesame-open", "what it says: ***, ***"),
        ("https://host/a@b and me@host.example", "https://host/a@b and me@host.example"),
        ("yes, it is true", "yes, it is true"),
    ],
)
def test_what_is_shown(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:decoded%20word@proxy:8080")
    monkeypatch.setenv("WANDB_API_KEY", "sesame-open")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "true")  # no secret, though it is named like one
    assert masked(text) == masked(text, secrets()) == str(AssetError(text)) == shown


def test_a_file_that_holds_a_token_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN_PATH", __file__)
    assert __file__ not in secrets()
