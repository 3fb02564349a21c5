"""What is said of documents that a model can't read whole, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from cornerstone.errors import TaskError
from cornerstone.evaluate import tokens
from cornerstone.evaluate.wanted import Wanted
from tests import tiny
from tests.helpers import documents

SHORT, LONG = [("q", " yes"), ("q", " no")], [("word " * 100, " yes"), ("word " * 100, " no")]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = tiny.make("llama")
    monkeypatch.setattr(made.config, "max_position_embeddings", 64)
    return made


def test_documents_that_are_cut_are_counted_and_said(model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = Wanted(documents([LONG, SHORT, LONG]))
    packed = tokens.encoded("tiny alpha", model, tiny.tokenizer(), wanted, [0, 1, 2])
    assert [packed[place].cut for place in range(3)] == [True, False, True]
    said = "tiny alpha: 2 of 3 documents are longer than the model reads: cut on the left, as in lm-eval"
    assert capsys.readouterr().err == f"cornerstone: warning: {said}\n"
    tokens.encoded("tiny alpha", model, tiny.tokenizer(), wanted, [1])
    assert capsys.readouterr().err == ""


def test_a_choice_that_can_not_be_read_names_task_and_document(model: Any) -> None:
    wanted = Wanted(documents([SHORT, [("q", " yes" * 100), ("q", " no")]]))
    with pytest.raises(TaskError, match=r"task 'alpha', document 1: choice 0 has \d+ tokens .* 1 to 64 can be scored"):
        tokens.encoded("tiny alpha", model, tiny.tokenizer(), wanted, [0, 1])
