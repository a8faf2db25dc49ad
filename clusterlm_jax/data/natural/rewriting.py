"""Asks a chat model for wordings of the tasks, with the paper's prompt (appendix E.1).

Works with any endpoint that offers OpenAI's chat completions:

    .venv/bin/python -m clusterlm_jax.data.natural.rewriting --endpoint=http://localhost:8000/v1 --model=NAME \\
        --output=wordings.json

If the environment variable OPENAI_API_KEY is set, it is sent as the key. The file is written after every answer, and
the same command resumes where it stopped. An experiment uses the file with --config.data.wordings=wordings.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from clusterlm_jax.data.natural.prompts import TASKS, NaturalSpec, read_task, read_wordings
from clusterlm_jax.records import UserError, write_atomically

PROMPT = "Rewrite 50 different expressions of {description}"
KEY = "OPENAI_API_KEY"
TIMEOUT_SECONDS = 300
RETRIES = 3  # if the server is busy or hangs up
WAIT_SECONDS = 2.0  # before the second retry; then twice as long each time
BUSY = (408, 429, 500, 502, 503, 504)
USELESS_ANSWERS = 3  # in a row; a task is given up after so many answers without a new wording
INTERRUPTED = 130

ITEM = re.compile(r"\s*(?:\d+[.):]|[-*•])\s+(.+)")
QUOTED = re.compile(r"""(\*\*|["`])((?:(?!\1).)+)\1|'((?:[^']|\b'\b)+)'|[\u201c\u2018«]([^\u201d»]+)[\u201d\u2019»]""")


class ChatModel:
    """A model behind an OpenAI-compatible endpoint.

    Args:
      url: the endpoint, such as http://localhost:8000/v1.
      model: the model's name there.
      key: the API key, or empty.
    """

    def __init__(self, url: str, model: str, key: str = "") -> None:
        self._url, self._model, self._key = url, model, key
        self._address = f"{url.rstrip('/')}/chat/completions"
        if not re.fullmatch("https?://[!-~]+", url) or re.search("[@?#]", url):  # before an @ or after a ? may be a key
            raise self._no_address()
        # connect=0: a server that is not there is reported at once. allowed_methods=None: also a POST is repeated,
        # because a prompt sent twice does no harm.
        retry = Retry(
            RETRIES, connect=0, status_forcelist=BUSY, allowed_methods=None, backoff_factor=WAIT_SECONDS / 2,
            raise_on_status=False,
        )  # fmt: skip
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def ask(self, prompt: str) -> str:
        """The model's answer to one prompt, without any conversation before it.

        Raises:
          UserError: if there is no answer.
        """
        content = {"model": self._model, "messages": [{"role": "user", "content": prompt}]}
        try:
            # Redirections are not followed, so that the key goes to no other address.
            response = self._session.post(self._address, json=content, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        except ValueError as error:  # of requests or urllib3: the address cannot be parsed
            raise self._no_address() from error
        except requests.RequestException as error:
            raise UserError(f"{self._address} gives no answer ({self._told(error)}): check --endpoint.") from error
        if response.status_code != requests.codes.ok:
            raise self._refusal(response)
        try:
            answer = response.json()["choices"][0]["message"]["content"]
            return answer.encode(errors="ignore").decode()  # half a surrogate pair cannot be written to a file
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"The answer of {self._address} is not a chat completion with a text in its 'choices': "
                "is --endpoint OpenAI-compatible?"
            ) from error

    def _no_address(self) -> UserError:
        told = "" if re.search("[@?#]", self._url) else f"is {self._url!r}; it "
        return UserError(
            f"--endpoint {told}must be an address such as http://localhost:8000/v1, and a key belongs in {KEY}."
        )

    def _refusal(self, response: requests.Response) -> UserError:
        status = response.status_code
        if status in (401, 403):
            what = f"does not accept {KEY}" if self._key else f"wants a key, and {KEY} is not set"
            return UserError(f"{self._address} {what} ({status}).")
        if status == 404:
            return UserError(
                f"There is no {self._address}, or no model {self._model!r} there (404): check --model and --endpoint, "
                "which often ends in /v1."
            )
        reason, text = self._told(response.reason), self._told(response.text)
        return UserError(f"{self._address} answers {status} {reason}: {text[:500] or '-'}")

    def _told(self, words: object) -> str:
        """Words of the server in one line and without the key, which some servers repeat, as it is or in an address."""
        said = " ".join(str(words).split())
        for key in filter(None, (self._key, quote(self._key, safe=""))):
            said = said.replace(key, KEY)
        return said


def listed(answer: str) -> list[str]:
    """The items of the numbered or bulleted lists in an answer, without quotation marks and emphasis; no other line."""
    return [text for match in map(ITEM.match, answer.splitlines()) if match and (text := _bare(match[1]))]


def _bare(text: str) -> str:
    """Removes all pairs of marks around a text; empty if no letter is left."""
    text = text.strip()
    if match := QUOTED.fullmatch(text):
        return _bare(match[2] or match[3] or match[4])
    return text if any(map(str.isalpha, text)) else ""


def collect(ask: Callable[[str], str], tasks: Sequence[str], count: int, path: Path) -> None:
    """Asks until the file at `path` has `count` wordings of every task in `tasks`. Wordings already there are kept.

    Raises:
      UserError: if the answers bring nothing new, or if `ask` raises it. The file keeps what was found.
    """
    wordings = {stem: list(texts) for stem, texts in read_wordings(path).items()} if path.exists() else {}
    with tqdm(total=len(tasks) * count, unit="wording", desc="ask", dynamic_ncols=True) as bar:
        for stem in tasks:
            task, found, useless = read_task(stem), wordings.setdefault(stem, []), 0
            bar.update(min(len(found), count))
            while len(found) < count:
                if useless == USELESS_ANSWERS:
                    raise UserError(
                        f"{USELESS_ANSWERS} answers in a row had no new wording of {task.task} ({stem}), with "
                        f"{len(found)} of {count} found and kept in {path}: try another --model or a lower --count."
                    )
                # All tasks count: a wording may belong to one task only (`read_wordings`).
                known = {text for texts in wordings.values() for text in texts}
                answer = listed(ask(PROMPT.format(description=task.description)))
                new = [text for text in dict.fromkeys(answer) if text not in known][: count - len(found)]
                useless = 0 if new else useless + 1
                found += new
                _write(wordings, path)
                bar.update(len(new))


def _write(wordings: Mapping[str, Sequence[str]], path: Path) -> None:
    text = json.dumps({stem: wordings[stem] for stem in TASKS if stem in wordings}, indent=1, ensure_ascii=False)
    write_atomically(path, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog=".venv/bin/python -m clusterlm_jax.data.natural.rewriting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--endpoint", required=True, metavar="URL", help="the server, such as http://localhost:8000/v1")
    parser.add_argument("--model", required=True, metavar="NAME", help="the model, as the server names it")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="the JSON file of wordings")
    parser.add_argument(
        "--count", type=int, default=NaturalSpec.wordings_per_task, help="wordings of each task (default: %(default)s)"
    )
    parser.add_argument(
        "--task", action="append", choices=TASKS, metavar="TASK", help=f"one of {', '.join(TASKS)}; default: all"
    )
    given = parser.parse_args(arguments)
    key = os.environ.get(KEY, "").strip()
    try:
        if given.count < 1:
            raise UserError(f"--count is {given.count}; it must be at least 1.")
        if not re.fullmatch("[!-~]*", key):
            raise UserError(f"{KEY} contains a space or a special character; a key has none.")
        tasks = [stem for stem in TASKS if stem in (given.task or TASKS)]
        collect(ChatModel(given.endpoint, given.model, key).ask, tasks, given.count, given.output)
        print(f"The wordings are in {given.output}")
    except UserError as error:
        print(f"clusterlm_jax: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"clusterlm_jax: {given.output} cannot be written ({error}).", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("clusterlm_jax: interrupted; the same command resumes where it stopped.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
