"""The local server asked for replies: what it answers, what it is without a source, what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from starlette.testclient import TestClient

import attattr
import chats
import tiny
from attattr.models.loading import Loaded, ModelInfo
from attattr.page import server
from attattr.page import session as explainer

HOME = "http://127.0.0.1:8000"
ASK = {
    "model": "writer", "messages": chats.CHAT, "sources": chats.DOCUMENTS, "max_new_tokens": 3,
    "reply": "good film man",
}  # fmt: skip


@pytest.fixture(scope="module")
def client():
    def load(name, **options):
        if name == "classifier":
            return Loaded(tiny.bert(), tiny.tokenizer(), ModelInfo(name))
        tokens = chats.tokenizer(None if name == "plain" else chats.TEMPLATE)
        return Loaded(tiny.llama(), tokens, ModelInfo(name))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explainer, "load", load)
        app = server.make_app(["writer", "plain", "classifier"], device="cpu")
        with TestClient(app, base_url=HOME) as made:
            yield made


def told(answer) -> list[dict]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def last(answer) -> dict:
    return told(answer)[-1]


@pytest.fixture(scope="module")
def asked(client):
    made = last(client.post("/api/generate", json=ASK))
    assert made["state"] == "done", made
    return made


def facts_of(client, made: dict) -> dict:
    text = client.get(f"/results/{made['id']}").text
    return json.loads(text.split('id="data">')[1].split("</script>")[0])


def test_a_reply_is_written_with_progress_and_ends_in_its_page(client):
    lines = told(client.post("/api/generate", json=ASK | {"reply": None}))
    assert {"writing", "attributing", "taking out"} <= {each.get("what") for each in lines}
    assert lines[-1]["state"] == "done", lines[-1]
    assert any("the reply was cut at 3 tokens" in note for note in lines[-1]["notes"])
    facts = facts_of(client, lines[-1])
    assert facts["columns"] == [*chats.DOCUMENTS] and facts["stopped"] == "length"
    assert "".join(facts["words"]["text"]) == lines[-1]["label"]


def test_a_given_reply_and_a_plain_text_are_taken(client, asked):
    assert asked["label"] == "good film man"
    assert facts_of(client, asked)["turns"] == ["system", "user"]
    plain = last(
        client.post(
            "/api/generate",
            json={"model": "plain", "prompt": chats.TEXT, "reply": "good film", "max_new_tokens": 2},
        )
    )
    facts = facts_of(client, plain)
    assert facts["turns"] == [] and facts["columns"] == ["paragraph 1", "paragraph 2", "paragraph 3"]


def test_without_a_source_it_is_what_the_library_says(client, asked):
    lm = attattr.Attributor(tiny.llama(), chats.tokenizer())
    made = lm.attribute_generation(
        chats.CHAT, sources=chats.DOCUMENTS, continuation="good film man", n_steps=1
    )
    expected = attattr.without_sources(lm, made, ["two", "three"], max_new_tokens=3)
    lines = told(client.post("/api/without-sources", json={"id": asked["id"], "sources": ["two", "three"]}))
    found = lines[-1]
    assert any(each.get("what") == "writing without it" for each in lines)
    assert found["reply"] == expected.reply and found["stopped"] == expected.stopped == "length"
    np.testing.assert_allclose([each["without"] for each in found["spans"]], expected.without, atol=1e-5)
    np.testing.assert_allclose([each["clean"] for each in found["spans"]], expected.clean, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "classifier"}, "is a classifier and writes no text"),
        ({"model": "plain"}, "no chat template"),
        ({"sources": {"one": "what is not there"}}, "is not in the prompt"),
        ({"messages": [{"role": "user", "content": " "}]}, "the prompt is empty"),
        ({"messages": [*chats.CHAT, {"role": "assistant", "content": "so"}]}, "the last message"),
    ],
)
def test_what_cannot_be_explained_is_a_sentence(client, change, sentence):
    failed = last(client.post("/api/generate", json=ASK | change))
    assert failed["state"] == "failed" and sentence in failed["error"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prompt": "a"}, "either a prompt or the messages"),
        ({"messages": None}, "either a prompt or the messages"),
        ({"messages": ["a"]}, "the messages are a list"),
        ({"sources": ["a"]}, "the sources are named texts"),
        ({"max_new_tokens": 0}, "from 1 to 512"),
        ({"max_new_tokens": 513}, "from 1 to 512"),
        ({"reply": 3}, "the reply is a text"),
        ({"reply": "a" * 20_001}, "20,000 are taken at most"),
        ({"model": "unknown"}, "there is no model 'unknown' here"),
    ],
)
def test_what_is_no_question_is_refused(client, change, sentence):
    answer = client.post("/api/generate", json=ASK | change)
    assert answer.status_code == 400 and sentence in answer.json()["error"]


def test_sources_and_edges_are_taken_out_of_their_own_kind_of_result(client, asked):
    for path, question, sentence in (
        ("/api/without-sources", {"id": "gone", "sources": ["one"]}, "that reply is no longer held"),
        ("/api/without-sources", {"id": asked["id"], "sources": ["four"]}, "not four"),
        ("/api/without", {"id": asked["id"]}, "no longer held"),
    ):
        failed = last(client.post(path, json=question))
        assert failed["state"] == "failed" and sentence in failed["error"]
    answer = client.post("/api/without-sources", json={"id": asked["id"], "sources": []})
    assert answer.status_code == 400 and "sources" in answer.json()["error"]


def test_which_models_write_is_told_where_it_is_known(client, tmp_path, asked):
    about = {each["name"]: each["writes"] for each in client.get("/api/models").json()["models"]}
    assert about["facts"] is True and about["mnli"] is False and about["writer"] is True
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    other = explainer.Explainer([str(tmp_path), "org/unknown"], {})
    assert [each["writes"] for each in other.about()[:2]] == [True, None]
