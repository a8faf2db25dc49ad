"""Wordings from a chat model: the paper's prompt is sent, lists are read from the answers, and findings are kept."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from clusterlm_jax.data.natural import rewriting
from clusterlm_jax.data.natural.prompts import NaturalSpec, compose, read_wordings

# E.1 with table 10's description, letter by letter.
PROMPT = "Rewrite 50 different expressions of Given a word in French, translate to English"


class Server(HTTPServer):
    """A stand-in for an OpenAI-compatible server: gives its answers in turn, and the last one again and again.

    Attributes:
      answers: each is a text of the model, a (status, body), the bytes of a whole answer, or None to hang up.
      requests: (path, headers, JSON body) of each request so far.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.answers: list = []
        self.requests: list[tuple] = []

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for _, _, body in self.requests]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers, body))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            return
        if isinstance(answer, bytes):
            self.wfile.write(answer)
            return
        if isinstance(answer, str):
            answer = (200, json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}))
        status, text = answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        if status == 302:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:  # what a client that follows the redirection asks for
        self.server.requests.append((self.path, self.headers, None))
        self.send_error(418)

    def log_message(self, *_) -> None:
        """Says nothing: the server's own would write a line to stderr for each request, between those under test."""


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(rewriting, "RETRIES", 2)
    monkeypatch.setattr(rewriting, "WAIT_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(rewriting.KEY, raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: Server, path, *flags: str) -> int:
    return rewriting.main([f"--endpoint={server.url}", "--model=parrot", f"--output={path}", *flags])


def numbered(*names: str) -> str:
    """An answer in the form that chat models use."""
    lines = [f'{number}. "Say {name} in English:"' for number, name in enumerate(names, start=1)]
    return "\n".join(["Sure! Here are 50 expressions:", "", *lines, "", "Let me know if you need more."])


def test_the_request_is_the_paper_s_prompt(server, tmp_path):
    server.answers = [numbered("a")]
    assert ask(server, tmp_path / "wordings.json", "--count=1", "--task=fr_en") == 0
    ((path, headers, body),) = server.requests
    assert path == "/v1/chat/completions"
    assert body == {"model": "parrot", "messages": [{"role": "user", "content": PROMPT}]}
    assert "Authorization" not in headers
    assert read_wordings(tmp_path / "wordings.json") == {"fr_en": ("Say a in English:",)}


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("1. Translate this:", "Translate this:"),
        ("  12) Translate this:  ", "Translate this:"),
        ("- Translate this:", "Translate this:"),
        ("* Translate this:", "Translate this:"),
        ("• Translate this:", "Translate this:"),
        ('1. "Translate this:"', "Translate this:"),
        ("1. 'What's this?'", "What's this?"),
        ("1. \u201cTranslate this:\u201d", "Translate this:"),
        ('1. **"Translate this:"**', "Translate this:"),
        ('3. "This" is French; say it in "English"', '"This" is French; say it in "English"'),
        ("4. Translate 'this'", "Translate 'this'"),
    ],
)
def test_an_item_is_bare(line, item):
    assert rewriting.listed(line) == [item]


@pytest.mark.parametrize("line", ["Sure, here are 50:", "", "---", "* * *", "1.", "- ...", '2. ""', "2024 was fine."])
def test_chatter_is_no_item(line):
    assert rewriting.listed(line) == []


def test_it_asks_until_there_are_enough_distinct_ones(server, tmp_path):
    """The third answer has two new wordings, but one is enough. Repeated ones and other tasks' ones do not count."""
    server.answers = [numbered("a", "b", "a"), numbered("b"), numbered("c", "d", "e")]
    path = tmp_path / "new" / "wordings.json"
    assert ask(server, path, "--count=3", "--task=fr_en") == 0
    assert server.prompts == [PROMPT] * 3
    assert read_wordings(path)["fr_en"] == tuple(f"Say {name} in English:" for name in "abc")
    server.answers = [numbered("a", "d", "e", "f")]
    assert ask(server, path, "--count=3", "--task=fr_en", "--task=es_en") == 0
    assert len(server.prompts) == 4
    assert server.prompts[-1] == PROMPT.replace("French", "Spanish")
    assert read_wordings(path)["es_en"] == tuple(f"Say {name} in English:" for name in "def")


def test_it_resumes_where_it_stopped(server, tmp_path, capsys):
    path = tmp_path / "wordings.json"
    server.answers = [numbered("a", "b"), (400, "too long")]
    assert ask(server, path, "--count=3", "--task=fr_en") == 2
    assert "answers 400 Bad Request: too long" in capsys.readouterr().err
    assert json.loads(path.read_text()) == {"fr_en": ["Say a in English:", "Say b in English:"]}
    server.answers = [numbered("b", "c")]
    assert ask(server, path, "--count=3", "--task=fr_en") == 0
    assert json.loads(path.read_text())["fr_en"][2:] == ["Say c in English:"]
    before = len(server.requests)
    capsys.readouterr()
    assert ask(server, path, "--count=3", "--task=fr_en") == 0
    assert len(server.requests) == before  # there was nothing left to ask for
    assert "3/3" in capsys.readouterr().err


def test_too_few_wordings_are_reported_and_kept(server, tmp_path, capsys):
    path = tmp_path / "wordings.json"
    server.answers = [numbered("a", "b")]
    assert ask(server, path, "--count=3", "--task=fr_en") == 2
    assert len(server.requests) == 1 + rewriting.USELESS_ANSWERS
    error = capsys.readouterr().err
    assert "no new wording of French to English (fr_en), with 2 of 3 found and kept" in error
    assert len(read_wordings(path)["fr_en"]) == 2


@pytest.mark.parametrize("trouble", [(500, "oops"), (429, "slow down"), None])
def test_a_busy_server_is_asked_again(server, tmp_path, trouble):
    server.answers = [trouble, trouble, numbered("a")]
    assert ask(server, tmp_path / "wordings.json", "--count=1", "--task=fr_en") == 0
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("answer", "requests", "sentence"),
    [
        ((401, "{}"), 1, "wants a key, and OPENAI_API_KEY is not set (401)."),
        ((404, "{}"), 1, "or no model 'parrot' there (404): check --model and --endpoint"),
        ((400, '{"error":\n "bad"}'), 1, 'answers 400 Bad Request: {"error": "bad"}'),
        ((503, ""), 3, "answers 503 Service Unavailable: -"),
        (None, 3, "/v1/chat/completions gives no answer ("),
        ((200, "<html>"), 1, "is not a chat completion with a text in its 'choices'"),
        ((200, '{"result": 1}'), 1, "is not a chat completion"),
        ((200, '{"choices": []}'), 1, "is not a chat completion"),
        ((200, '{"choices": [{"message": {"content": null}}]}'), 1, "is not a chat completion"),
        ((200, '{"choices": [{"text": "1. a"}]}'), 1, "is not a chat completion"),
        ((200, "[]"), 1, "is not a chat completion"),
    ],
)
def test_what_goes_wrong_is_one_sentence(server, tmp_path, capsys, answer, requests, sentence):
    server.answers = [answer]
    assert ask(server, tmp_path / "wordings.json", "--task=fr_en") == 2
    assert len(server.requests) == requests
    *_, last = capsys.readouterr().err.splitlines()  # after the bar
    assert last.startswith("clusterlm_jax: ")
    assert sentence in last


def test_the_key_goes_to_the_server_and_nowhere_else(server, tmp_path, monkeypatch, capsys):
    """A redirection is not followed, and a message of the server that repeats the key is not shown as it is."""
    monkeypatch.setenv(rewriting.KEY, "sk-secret\n")
    server.answers = [numbered("a"), (401, "wrong key sk-secret"), (400, "your key is sk-secret"), (302, "")]
    path = tmp_path / "wordings.json"
    assert [ask(server, path, f"--count={count}", "--task=fr_en") for count in (1, 2, 2, 2)] == [0, 2, 2, 2]
    assert [path for path, _, _ in server.requests] == ["/v1/chat/completions"] * 4
    assert [headers["Authorization"] for _, headers, _ in server.requests] == ["Bearer sk-secret"] * 4
    printed = "".join(capsys.readouterr())
    assert "does not accept OPENAI_API_KEY" in printed
    assert "your key is OPENAI_API_KEY" in printed
    assert "answers 302 Found" in printed
    assert "sk-secret" not in printed + path.read_text() + repr(rewriting.ChatModel(server.url, "parrot", "sk-secret"))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 wrong key sk-se/ret\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 see ?key=sk-se%2Fret\r\nLocation: /?key=sk-se/ret\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://h:sk-se/ret/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsk-se/ret\r\n",
        b"wrong key sk-se/ret\r\n\r\n",
        (400, "wrong address /?key=sk-se%2Fret"),
        (400, 498 * "-" + "sk-se/ret"),
    ],
    ids=["reason", "reason with an address", "redirection", "length of a chunk", "no HTTP", "quoted", "cut"],
)
def test_the_key_is_in_no_error(server, tmp_path, monkeypatch, capsys, answer):
    """Wherever the server repeats it: the libraries' own messages quote an answer that is broken."""
    monkeypatch.setenv(rewriting.KEY, "sk-se/ret")
    server.answers = [answer]
    assert ask(server, tmp_path / "wordings.json", "--task=fr_en") == 2
    printed = "".join(capsys.readouterr())
    assert "clusterlm_jax: " in printed and "sk" not in printed.rpartition("clusterlm_jax: ")[2]


@pytest.mark.parametrize("address", ["localhost:80/v1", "file:///etc", "http://a..b", "http://h:port/v1", "http://a b"])
def test_a_wrong_address_is_refused(tmp_path, capsys, address):
    given = [f"--endpoint={address}", "--model=parrot", f"--output={tmp_path / 'wordings.json'}"]
    assert rewriting.main(given) == 2
    assert f"--endpoint is {address!r}; it must be an address such as" in capsys.readouterr().err


@pytest.mark.parametrize(
    "address", ["https://sk-1@h/v1", "https://u:sk-1@h/v1", "https://h/v1?key=sk-1", "sk-1@h", "h#sk-1"]
)
def test_a_key_in_the_address_is_refused_and_not_repeated(tmp_path, capsys, address):
    given = [f"--endpoint={address}", "--model=parrot", f"--output={tmp_path / 'wordings.json'}"]
    assert rewriting.main(given) == 2
    told = capsys.readouterr().err
    assert "--endpoint must be an address such as http://localhost:8000/v1, and a key belongs in OPENAI_API_KEY" in told
    assert "sk-1" not in told and not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_reported_at_once(server, tmp_path, capsys):
    with HTTPServer(("127.0.0.1", 0), Handler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}/v1"
    assert rewriting.main([f"--endpoint={url}", "--model=parrot", f"--output={tmp_path / 'wordings.json'}"]) == 2
    assert f"{url}/chat/completions gives no answer" in capsys.readouterr().err


def test_wrong_flags_are_refused_before_anything_is_asked(server, tmp_path, monkeypatch, capsys):
    path = tmp_path / "wordings.json"
    assert ask(server, path, "--count=0") == 2
    path.write_text('{"french": []}')
    assert ask(server, path) == 2
    path.unlink()
    server.answers = [numbered("a")]
    monkeypatch.setenv(rewriting.KEY, "sk secret")
    assert ask(server, path) == 2
    errors = capsys.readouterr().err
    for sentence in ("--count is 0", "has wordings of 'french', which is not a task", "OPENAI_API_KEY contains"):
        assert sentence in errors
    assert "sk secret" not in errors
    assert server.requests == []
    with pytest.raises(SystemExit, match="2"):
        ask(server, path, "--task=french")


def test_a_file_that_cannot_be_written_is_reported(server, tmp_path, capsys):
    (tmp_path / "file").touch()
    server.answers = [numbered("a")]
    assert ask(server, tmp_path / "file" / "wordings.json", "--count=1", "--task=fr_en") == 2
    assert "wordings.json cannot be written" in capsys.readouterr().err


def test_a_run_uses_what_was_collected(server, tmp_path):
    """All tasks at once. The stand-in for the model answers with the description and a number."""
    path = tmp_path / "wordings.json"
    given = iter(range(1000))

    def answer(prompt: str) -> str:
        description = prompt.removeprefix("Rewrite 50 different expressions of ")
        return "\n".join(f"{n}. {description}, way {next(given)}:" for n in range(1, 4))

    rewriting.collect(answer, rewriting.TASKS, 4, path)
    prompts = compose(NaturalSpec(wordings=str(path), wordings_per_task=4), 0)
    assert len(prompts) == 16 * 4 * 10
    assert all(re.search(r", way \d+: \w+$", text) for text in prompts.texts)
