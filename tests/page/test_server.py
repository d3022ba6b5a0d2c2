"""The local server: what it answers, whom it refuses, how it queues, and that work is cancelled."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

import tiny
from attattr import Attributor, cli
from attattr.errors import InputError, ModelError
from attattr.measure.effects import measure_effects
from attattr.models.loading import Loaded, ModelInfo
from attattr.page import queue as workline
from attattr.page import server
from attattr.page import session as explainer
from attattr.page.questions import Edge
from attattr.result.attribution import Attribution

HOME = "http://127.0.0.1:8000"
QUESTION = {"model": "tiny", "texts": ["the film is good"]}


@pytest.fixture(autouse=True)
def loading(monkeypatch):
    """Tiny models in place of every name; what was loaded, in order."""
    loaded = []

    def load(name, **options):
        loaded.append((name, options))
        if name == "gone":
            raise ModelError("there is no folder 'gone'")
        pair = {"pairs": True, "singles": False}.get(name)
        return Loaded(tiny.bert(), tiny.tokenizer(), ModelInfo(name, pair=pair))

    monkeypatch.setattr(explainer, "load", load)
    return loaded


@pytest.fixture
def client():
    app = server.make_app(["tiny", "pairs", "singles", "gone"], device="cpu", labels="a,b,c")
    with TestClient(app, base_url=HOME) as made:
        yield made


def lines(answer) -> list[dict]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def last(answer) -> dict:
    return lines(answer)[-1]


def explained(client, **more) -> dict:
    made = last(client.post("/api/explain", json=QUESTION | more))
    assert made["state"] == "done", made
    return made


def test_the_models_are_those_given_and_the_embedded(client, loading):
    facts = client.get("/api/models").json()
    names = [each["name"] for each in facts["models"]]
    assert names[:4] == ["tiny", "pairs", "singles", "gone"]
    mnli = next(each for each in facts["models"] if each["name"] == "mnli")
    assert mnli["pair"] is True and mnli["labels"] == ["entailment", "neutral", "contradiction"]
    assert loading == [], "nothing is loaded before it is asked for"


def test_an_explanation_tells_its_progress_and_ends_in_a_page(client):
    told = lines(client.post("/api/explain", json=QUESTION))
    attributing = [each["done"] for each in told if each.get("what") == "attributing"]
    assert attributing == [0, 1, 2, 3], told
    assert any(each.get("what", "").startswith("taking out") for each in told)
    made = told[-1]
    assert made["state"] == "done" and 0 < made["probability"] <= 1
    page = client.get(f"/results/{made['id']}")
    assert page.headers["content-security-policy"] == "frame-ancestors 'self'"
    data = json.loads(page.text.split('id="data">')[1].split("</script>")[0])
    assert data["predicted"] == made["label"] and data["tokens"]["names"][1] == "the"
    assert data["effects"] is not None


def test_effects_can_be_left_out(client):
    made = explained(client, effects=False)
    assert '"effects":null' in client.get(f"/results/{made['id']}").text


def test_a_target_and_a_wrong_one(client):
    made = explained(client, target="LABEL_1")
    assert '"label":"LABEL_1"' in client.get(f"/results/{made['id']}").text
    wrong = last(client.post("/api/explain", json=QUESTION | {"target": "nothing"}))
    assert wrong["state"] == "failed" and "nothing" in wrong["error"]


def test_options_are_for_the_models_they_were_given_for(client, loading):
    explained(client)
    explained(client, model="sst2")
    assert loading == [("tiny", {"device": "cpu", "labels": "a,b,c"}), ("sst2", {"device": "cpu"})]


def test_models_are_kept_but_not_all(client, loading):
    for name in ("tiny", "singles", "tiny", "sst2", "snli", "tiny", "singles"):
        texts = ["the film"] if name != "snli" else ["the film", "is good"]
        explained(client, model=name, texts=texts, effects=False)
    assert [name for name, _ in loading] == ["tiny", "singles", "sst2", "snli", "singles"]


def test_taking_nothing_out_changes_nothing(client):
    made = explained(client)
    change = last(client.post("/api/without", json={"id": made["id"]}))
    assert change["clean"] == pytest.approx(change["without"]) == pytest.approx(made["probability"])
    assert change["label"] == made["label"] and change["output"] == "probability"
    assert sum(before for _, before, _ in change["probabilities"]) == pytest.approx(1)
    assert all(before == pytest.approx(after) for _, before, after in change["probabilities"])


def test_what_is_taken_out_moves_the_prediction_as_it_was_measured(client):
    made = explained(client)
    attributor = Attributor(tiny.bert(), tiny.tokenizer())
    result = attributor.attribute(QUESTION["texts"][0])
    effects = measure_effects(attributor, result)
    edge, loss = effects.edges[0], effects.edge_change[0]
    assert abs(loss) > 1e-5
    asked = {"site": edge.site, "head": edge.head, "query": [edge.query], "key": [edge.key]}
    change = last(client.post("/api/without", json={"id": made["id"], "edges": [asked]}))
    assert change["clean"] - change["without"] == pytest.approx(loss, abs=1e-9)
    row = next(row for row in change["probabilities"] if row[0] == made["label"])
    assert row[1:] == pytest.approx([change["clean"], change["without"]])
    change = last(client.post("/api/without", json={"id": made["id"], "heads": [[2, 1]]}))
    assert change["clean"] - change["without"] == pytest.approx(effects.head_change[2, 1], abs=1e-9)
    everything = [
        {"site": 2, "head": None, "query": list(range(6)), "key": list(range(6))},
    ]
    one = last(client.post("/api/without", json={"id": made["id"], "edges": everything}))
    other = last(client.post("/api/without", json={"id": made["id"], "heads": [[2, 0], [2, 1]]}))
    assert one["without"] == pytest.approx(other["without"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"texts": []}, "one text or two"),
        ({"texts": ["a", "b", "c"]}, "one text or two"),
        ({"texts": "the film"}, "one text or two"),
        ({"texts": ["  "]}, "empty"),
        ({"texts": ["a" * 20_001]}, "20,000"),
        ({"model": "bert-base-uncased"}, "no model 'bert-base-uncased'"),
        ({"model": None}, "no model"),
        ({"model": ["tiny"]}, "no model"),
        ({"target": 3}, "name of a class"),
        ({"effects": 1}, "true or false"),
    ],
)
def test_questions_that_cannot_be_answered(client, change, says, loading):
    answer = client.post("/api/explain", json=QUESTION | change)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert loading == []


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"edges": {}}, "list"),
        ({"edges": [1]}, "an edge is"),
        ({"edges": [{"site": 0}]}, "an edge is"),
        ({"edges": [{"site": 0, "query": [True], "key": [1]}]}, "an edge is"),
        ({"edges": [{"site": 0, "head": "all", "query": [0], "key": [1]}]}, "number, or null"),
        ({"heads": [[1]]}, "a head is"),
        ({"edges": [{"site": 0, "query": [0] * 33, "key": [1]}]}, "an edge is"),
        ({"edges": [{"site": 0, "query": [0.0], "key": [1]}]}, "an edge is"),
        ({"edges": [{"site": 0, "query": [0], "key": [1]}] * 201}, "200 at most"),
        ({"heads": [[0, 0]] * 201}, "200 at most"),
        ({"heads": [["0", "0"]]}, "a head is"),
        ({"id": 1}, "by its id"),
    ],
)
def test_marks_that_are_none(client, facts, says):
    answer = client.post("/api/without", json={"id": "x"} | facts)
    assert answer.status_code == 400 and says in answer.json()["error"]


@pytest.mark.parametrize(
    "facts",
    [
        {"edges": [{"site": 0, "head": 0, "query": [0], "key": [60]}]},
        {"edges": [{"site": 0, "head": 0, "query": [-1], "key": [0]}]},
        {"edges": [{"site": 0, "head": 2, "query": [0], "key": [0]}]},
        {"heads": [[3, 0]]},
        {"heads": [[-1, 0]]},
    ],
)
def test_marks_of_another_result(client, facts):
    made = explained(client, effects=False)
    answer = last(client.post("/api/without", json={"id": made["id"]} | facts))
    assert answer["state"] == "failed" and "not of this result" in answer["error"]


def test_results_are_not_held_for_ever(client):
    first = explained(client, effects=False)["id"]
    for _ in range(explainer.PAGES):
        explained(client, effects=False)
    assert client.get(f"/results/{first}").status_code == 404
    answer = last(client.post("/api/without", json={"id": first}))
    assert "no longer held" in answer["error"]


def test_errors_are_sentences(client, monkeypatch):
    failed = last(client.post("/api/explain", json=QUESTION | {"model": "gone"}))
    assert failed == {"state": "failed", "error": "there is no folder 'gone'"}
    failed = last(client.post("/api/explain", json=QUESTION | {"model": "pairs"}))
    assert "second one" in failed["error"]

    def broken(*args, **options):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(Attributor, "attribute", broken)
    failed = last(client.post("/api/explain", json=QUESTION))
    assert failed["error"] == "this did not work (ZeroDivisionError: by zero)"


def test_warnings_reach_the_reader(client, monkeypatch):
    real = Attributor.attribute

    def warning(self, *args, **options):
        warnings.warn("read with care", UserWarning, stacklevel=1)
        return real(self, *args, **options)

    monkeypatch.setattr(Attributor, "attribute", warning)
    assert "read with care" in explained(client)["notes"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "192.168.1.7", "LOCALHOST"]
)
def test_hosts_that_are_this_server(client, host):
    assert client.get("/api/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil:1"]
)
def test_other_hosts_are_refused(client, host):
    answer = client.get("/api/models", headers={"host": host})
    assert answer.status_code == 403 and "address" in answer.json()["error"]


def test_a_server_beyond_loopback_answers_under_its_name():
    with TestClient(server.make_app(host="box.lan"), base_url="http://box.lan:80") as client:
        assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8000"]
)
def test_requests_from_other_sites_are_refused(client, origin, loading):
    answer = client.post("/api/explain", json=QUESTION, headers={"origin": origin})
    assert answer.status_code == 403 and loading == []


def test_requests_from_the_page_itself_are_answered(client):
    assert client.post("/api/explain", json=QUESTION, headers={"origin": HOME}).status_code == 200


def test_forms_of_other_sites_cannot_send_json(client):
    answer = client.post("/api/explain", content=json.dumps(QUESTION), headers={"content-type": "text/plain"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000, b'{"texts": ["\\ud800"]}', b"null"]
)
def test_bodies_that_are_no_question(client, body):
    answer = client.post("/api/explain", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and "JSON" in answer.json()["error"]


def test_a_body_is_read_no_further_than_it_may_be_long(client):
    sent = []

    def endless():
        for _ in range(1000):
            sent.append(1)
            yield b" " * 10_000

    answer = client.post("/api/explain", content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413 and "400,000" in answer.json()["error"]


def test_every_answer_carries_its_headers(client):
    for path in ("/", "/serve.js", "/serve.css", "/api/models", "/results/none", "/none"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text, "nothing from elsewhere"


def test_errors_carry_their_headers_and_a_sentence(client, monkeypatch):
    sent = {"headers": {"content-type": "application/json"}}
    for answer, status, says in (
        (client.get("/none"), 404, "no /none"),
        (client.get("/results/none"), 404, "no longer held"),
        (client.get("/none/none"), 404, "Not Found"),
        (client.get("/api/explain"), 405, "Not Allowed"),
        (client.post("/api/explain", content=b"{", **sent), 400, "JSON"),
        (client.post("/api/explain", content=b" " * 400_001, **sent), 413, "400,000"),
        (client.get("/", headers={"host": "evil.example"}), 403, "address"),
    ):
        assert answer.status_code == status and says in answer.json()["error"]
        assert server.ALL.items() <= dict(answer.headers).items()
    monkeypatch.setattr(explainer.Explainer, "about", lambda self: 1 / 0)
    with TestClient(client.app, base_url=HOME, raise_server_exceptions=False) as other:
        answer = other.get("/api/models")
    assert answer.status_code == 500 and "did not work" in answer.json()["error"]
    assert server.ALL.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    "path",
    ["/report.js", "/serve.html", "/../server.py", "/..%2fserver.py", "/%2e%2e/page.py", "/serve.js/x"],
)
def test_no_other_file_is_served(client, path):
    assert client.get(path).status_code == 404


@pytest.fixture
def running():
    """A real server, so that connections can break: its address."""
    import uvicorn

    config = uvicorn.Config(server.make_app(["tiny"]), log_level="error", ws="none")
    serving = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_for(lambda: serving.started)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        serving.should_exit = True
        thread.join(10)
    assert not thread.is_alive()


def wait_for(true, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


class Slow:
    """Attribution that goes on until it is cancelled or let go."""

    def __init__(self, monkeypatch):
        self.began = self.ended = 0
        self.go = threading.Event()
        real = Attributor.attribute

        def attribute(of, *texts, progress, **options) -> Attribution:
            self.began += 1
            try:
                while not self.go.wait(0.02):
                    progress(0, 1, "")
                return real(of, *texts, progress=progress, **options)
            finally:
                self.ended += 1

        monkeypatch.setattr(Attributor, "attribute", attribute)


@pytest.fixture
def slow(monkeypatch):
    made = Slow(monkeypatch)
    yield made
    made.go.set()


@contextlib.contextmanager
def asked(address: str, question=QUESTION):
    """An open answer, read line by line."""
    import httpx2

    with (
        httpx2.Client(timeout=20) as client,
        client.stream("POST", f"{address}/api/explain", json=question) as answer,
    ):
        yield answer, (json.loads(line) for line in answer.iter_lines())


def test_a_client_that_goes_away_ends_its_work(running, slow):
    with asked(running) as (_, told):
        wait_for(lambda: slow.began == 1)
        assert next(told)["state"] in ("alive", "working")
    wait_for(lambda: slow.ended == 1)
    slow.go.set()
    with asked(running) as (_, told):
        assert list(told)[-1]["state"] == "done", "the next one is served"


def test_one_at_a_time_the_others_wait_and_know_it(running, slow, monkeypatch):
    monkeypatch.setattr(workline, "ALIVE", 0.1)
    with asked(running) as (_, first), asked(running) as (_, second):
        wait_for(lambda: slow.began == 1)
        assert next(second) == {"state": "waiting", "ahead": 1}
        slow.go.set()
        assert list(first)[-1]["state"] == "done"
        assert list(second)[-1]["state"] == "done"
    assert slow.began == slow.ended == 2


def test_who_gives_up_waiting_leaves_the_line(running, slow, monkeypatch):
    monkeypatch.setattr(workline, "ALIVE", 0.1)
    with asked(running) as (_, first):
        with asked(running) as (_, second):
            next(second)
            with asked(running) as (_, third):
                assert next(third)["ahead"] == 2
            with asked(running) as (_, fourth):
                wait_for(lambda: next(fourth).get("ahead") == 2)
        slow.go.set()
        assert list(first)[-1]["state"] == "done"
    assert slow.began == 1, "what nobody waits for is not begun"


def test_a_full_line_says_busy(running, slow):
    with contextlib.ExitStack() as open_answers:
        kept = [open_answers.enter_context(asked(running)) for _ in range(workline.WAITING + 1)]
        for _, told in kept:
            next(told)
        answer, _ = open_answers.enter_context(asked(running))
        answer.read()
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answer.json()["error"].startswith("busy: 4 requests are waiting")


def test_the_server_ends_while_it_works(slow):
    with TestClient(server.make_app(["tiny"]), base_url=HOME) as client:
        thread = threading.Thread(target=lambda: client.post("/api/explain", json=QUESTION))
        thread.start()
        wait_for(lambda: slow.began == 1)
        app: Any = client.app
        app.state.line.close()
        wait_for(lambda: slow.ended == 1)
        thread.join(10)
        assert not thread.is_alive()


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}.*--port"):
            server.run([], "127.0.0.1", port, ready=print)


def test_the_command(monkeypatch):
    asked_for = {}

    def run(models, host, port, *, ready, **opening):
        asked_for.update(models=models, host=host, port=port, **opening)
        ready(f"http://{host}:{port}")

    monkeypatch.setattr(server, "run", run)
    made = CliRunner().invoke(
        cli.app, ["serve", "--model", "one", "-m", "two", "--port", "81", "--dtype", "bfloat16"]
    )
    assert made.exit_code == 0, made.output
    assert made.stdout == "Serving at http://127.0.0.1:81 (Ctrl-C ends it)\n" and made.stderr == ""
    assert asked_for["models"] == ["one", "two"] and asked_for["dtype"] == "bfloat16"
    made = CliRunner().invoke(cli.app, ["serve", "--host", "0.0.0.0"])
    assert "whoever reaches this machine" in made.stderr
    assert asked_for["models"] == [] and asked_for["port"] == 8000


def test_masks_of_edges_and_heads_go_together():
    result = Attributor(tiny.bert(), tiny.tokenizer()).attribute("the film")
    mask = explainer._mask(result, [Edge(site=1, head=0, query=[0, 1], key=[2])], [(0, 1)])
    assert np.argwhere(mask.edges[1] == 0).tolist() == [[0, 0, 2], [0, 1, 2]]
    assert mask.heads.tolist() == [[1, 0], [1, 1], [1, 1]]
