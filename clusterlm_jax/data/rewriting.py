"""Asks a chat model for wordings of the tasks, with the paper's prompt (appendix E.1).

Any endpoint that speaks OpenAI's chat completions will do:

    python -m clusterlm_jax.data.rewriting --endpoint=http://localhost:8000/v1 --model=NAME --output=wordings.json

The environment variable OPENAI_API_KEY is sent as the key where it is set. The file is written after every answer, and
the same command goes on where it stopped. A run takes it as --config.data.wordings=wordings.json.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from clusterlm_jax.data.natural.prompts import TASKS, NaturalSpec, read_task, read_wordings
from clusterlm_jax.records import UserError, write_atomically

PROMPT = "Rewrite 50 different expressions of {description}"
KEY = "OPENAI_API_KEY"
TIMEOUT_SECONDS = 300
WAITS_SECONDS = (1.0, 5.0, 20.0)  # before asking again where the server is busy or hangs up
BUSY = (408, 429, 500, 502, 503, 504)
ASKS_IN_VAIN = 3  # answers in a row without a new wording, after which a task is given up
INTERRUPTED = 130

ITEM = re.compile(r"\s*(?:\d+[.):]|[-*•])\s+(.+)")
QUOTED = re.compile(r"""(\*\*|["`])((?:(?!\1).)+)\1|'((?:[^']|\b'\b)+)'|[\u201c\u2018«]([^\u201d»]+)[\u201d\u2019»]""")


class Busy(UserError):
    """The server may answer if asked again."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A server, one of its models, and the key, which may be empty."""

    url: str
    model: str
    key: str = dataclasses.field(default="", repr=False)

    def ask(self, prompt: str) -> str:
        """The model's answer to a prompt on its own.

        Raises:
          UserError: if there is none.
        """
        for wait in WAITS_SECONDS:
            try:
                return self._ask_once(prompt)
            except Busy:
                time.sleep(wait)
        return self._ask_once(prompt)

    @property
    def _address(self) -> str:
        return self.url.rstrip("/") + "/chat/completions"

    def _ask_once(self, prompt: str) -> str:
        body = self._post({"model": self.model, "messages": [{"role": "user", "content": prompt}]})
        try:
            answer = json.loads(body)["choices"][0]["message"]["content"]
            return answer.encode(errors="ignore").decode()  # half a surrogate pair cannot go into a file
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"What {self._address} answers is no chat completion with a text in its 'choices': "
                "is --endpoint OpenAI-compatible?"
            ) from error

    def _post(self, content: Mapping) -> bytes:
        try:
            if not re.fullmatch("https?://[!-~]+", self.url):
                raise ValueError
            headers = {"Content-Type": "application/json", "User-Agent": "clusterlm_jax"}
            request = urllib.request.Request(self._address, json.dumps(content).encode(), headers)
            if self.key:  # for this server alone: no redirection takes it along
                request.add_unredirected_header("Authorization", f"Bearer {self.key}")
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except urllib.error.URLError as error:
            raise UserError(f"{self._address} cannot be reached ({error.reason}): check --endpoint.") from error
        except (http.client.InvalidURL, ValueError) as error:
            raise UserError(
                f"--endpoint is {self.url!r}; it must be an address such as http://localhost:8000/v1."
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise Busy(f"{self._address} broke off before the end of its answer ({reason}).") from error

    def _refusal(self, error: urllib.error.HTTPError) -> UserError:
        if error.code in (401, 403):
            what = f"does not accept {KEY}" if self.key else f"wants a key, and {KEY} is not set"
            return UserError(f"{self._address} {what} ({error.code}).")
        if error.code == 404:
            return UserError(
                f"There is no {self._address}, or no model {self.model!r} there (404): check --model and --endpoint, "
                "which often ends in /v1."
            )
        said = ""
        with contextlib.suppress(OSError, http.client.HTTPException):
            said = " ".join(error.read(500).decode(errors="replace").split())
        if self.key:
            said = said.replace(self.key, KEY)
        kind = Busy if error.code in BUSY else UserError
        return kind(f"{self._address} answers {error.code} {error.reason}: {said or 'nothing more'}")


def listed(answer: str) -> list[str]:
    """The items of the numbered or bulleted lists in an answer, bare of quotation marks and emphasis; no other line."""
    return [text for match in map(ITEM.match, answer.splitlines()) if match and (text := _bare(match[1]))]


def _bare(text: str) -> str:
    """Without the marks around it, one pair after the other; empty where there is no letter in it."""
    text = text.strip()
    if match := QUOTED.fullmatch(text):
        return _bare(match[2] or match[3] or match[4])
    return text if any(map(str.isalpha, text)) else ""


def collect(ask: Callable[[str], str], tasks: Sequence[str], count: int, path: Path) -> None:
    """Asks until the file at `path` has so many wordings of every task given; what it has already stays.

    Raises:
      UserError: if the answers bring nothing new, or whatever `ask` raises; the file keeps what was found.
    """
    wordings = {stem: list(texts) for stem, texts in read_wordings(path).items()} if path.exists() else {}
    with tqdm(total=len(tasks) * count, unit="wording", desc="ask", dynamic_ncols=True) as bar:
        for stem in tasks:
            task, found, in_vain = read_task(stem), wordings.setdefault(stem, []), 0
            bar.update(min(len(found), count))
            while len(found) < count:
                if in_vain == ASKS_IN_VAIN:
                    raise UserError(
                        f"{ASKS_IN_VAIN} answers in a row had no new wording of {task.task} ({stem}), with "
                        f"{len(found)} of {count} found and kept in {path}: try another --model or a lower --count."
                    )
                known = {text for texts in wordings.values() for text in texts}
                answer = listed(ask(PROMPT.format(description=task.description)))
                new = [text for text in dict.fromkeys(answer) if text not in known][: count - len(found)]
                in_vain = 0 if new else in_vain + 1
                found += new
                _write(wordings, path)
                bar.update(len(new))


def _write(wordings: Mapping[str, Sequence[str]], path: Path) -> None:
    text = json.dumps({stem: wordings[stem] for stem in TASKS if stem in wordings}, indent=1, ensure_ascii=False)
    write_atomically(path, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m clusterlm_jax.data.rewriting",
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
            raise UserError(f"{KEY} has a space or a special character in it, which no key has.")
        tasks = [stem for stem in TASKS if stem in (given.task or TASKS)]
        collect(Endpoint(given.endpoint, given.model, key).ask, tasks, given.count, given.output)
        print(f"The wordings are in {given.output}")
    except UserError as error:
        print(f"clusterlm_jax: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"clusterlm_jax: {given.output} cannot be written ({error}).", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("clusterlm_jax: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
