"""A chat model behind one small interface: on this machine, or at any OpenAI-compatible endpoint.

    model = llm.connect()            # the endpoint of $BOOK_LLM_BASE_URL, else SmolLM2-135M-Instruct on this machine
    model.chat("Say hello.")         # str
    model.scores(prompts, ["positive", "negative"])  # (n, 2) log-probabilities

A prompt is a string (one message of the user) or a list of messages ({"role": ..., "content": ...}).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sqlite3
import warnings
from urllib.parse import urlsplit

import numpy as np

from shared.data import DataError, cache_folder

FLOOR = -20.0  # log-probability of an answer that an endpoint does not list among its likeliest tokens
TOP = 20  # tokens that an endpoint is asked to list
BATCH = 16


class LLMError(RuntimeError):
    """A model gave no usable answer; the message says what is wrong and what to do, without any key."""


def connect(cache: bool | None = None):
    """The endpoint of $BOOK_LLM_BASE_URL where that is set, else the local model."""
    if os.environ.get("BOOK_LLM_BASE_URL"):
        return endpoint(cache=True if cache is None else cache)
    return local(cache=bool(cache))


def local(cache: bool = False) -> Local:
    """SmolLM2-135M-Instruct on this machine's processor; fetched (93 MB) and converted on first use.

    Args:
        cache: keep answers on disk. Off by default: batches round differently, so that what a cache answers
            depends on what was asked before.
    """
    return Local(cache)


def endpoint(base_url: str | None = None, model: str | None = None, cache: bool = True, timeout: float = 60,
             retries: int = 4) -> Endpoint:  # fmt: skip
    """An OpenAI-compatible endpoint.

    Args:
        base_url: such as "https://host/v1"; None: $BOOK_LLM_BASE_URL.
        model: name of the model there; None: $BOOK_LLM_MODEL.
        cache: keep answers on disk, so that nothing is paid for twice.
        timeout: seconds to wait for one answer.
        retries: how often the client tries again, with growing pauses, after time-outs, 429 and 5xx.

    The key comes from the environment only: $BOOK_LLM_API_KEY, else $OPENAI_API_KEY.

    Raises:
        LLMError: no address, no name or no client package.
    """
    return Endpoint(base_url, model, cache, timeout, retries)


def messages(prompt) -> list[dict]:
    """A prompt as a list of messages."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)


class _Cache:
    """Answers on disk, one row each, committed at once; SQLite keeps two processes apart. Prompts are hashed."""

    def __init__(self, on: bool):
        self.path = cache_folder() / "llm" / "answers.sqlite" if on else None

    def _run(self, command: str, values=()):
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as base, base:
                base.execute("CREATE TABLE IF NOT EXISTS answers (digest TEXT PRIMARY KEY, answer TEXT)")
                return base.execute(command, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise LLMError(f"The cache {self.path} cannot be used ({error}): delete it and run again.") from None

    def get(self, digest: str):
        rows = self._run("SELECT answer FROM answers WHERE digest = ?", (digest,)) if self.path else []
        return json.loads(rows[0][0]) if rows else None

    def put(self, digest: str, answer) -> None:
        if self.path:
            self._run("INSERT OR REPLACE INTO answers VALUES (?, ?)", (digest, json.dumps(answer)))


class _Model:
    """What both backends share: checks and the cache."""

    weights: tuple[str, str]  # name and sha256 of the weights, for `paper.weights(*model.weights)`

    def __init__(self, cache: bool):
        self._cache = _Cache(cache)

    def _digest(self, *what) -> str:
        return hashlib.sha256(json.dumps([*self.weights, *what], sort_keys=True).encode()).hexdigest()

    def chat(self, prompt, max_tokens: int = 64, temperature: float = 0) -> str:
        """The model's reply, at most `max_tokens` tokens; temperature 0 takes the likeliest token each time.

        Replies at temperature 0 are cached. Raises LLMError.
        """
        digest = self._digest("chat", messages(prompt), max_tokens)
        answer = self._cache.get(digest) if temperature == 0 else None
        if answer is None:
            answer = self._chat(messages(prompt), max_tokens, temperature)
            if temperature == 0:
                self._cache.put(digest, answer)
        return answer

    def scores(self, prompts, answers) -> np.ndarray:
        """Log-probability that the reply begins with the first token of each answer.

        Args:
            prompts: n prompts.
            answers: k short answers whose first tokens differ, such as ["positive", "negative"].

        Returns:
            (n, k) float64. An endpoint lists only its likeliest tokens: an answer beginning with none of them
            gets `FLOOR`. Raises LLMError; what was answered before stays in the cache.
        """
        prompts, answers = [messages(p) for p in prompts], list(answers)
        if not prompts or len(set(answers)) < len(answers) or not all(answers):
            raise ValueError("Give at least one prompt, and answers that are not empty and differ.")
        digests = [self._digest("scores", p, answers) for p in prompts]
        found = {i: self._cache.get(d) for i, d in enumerate(digests)}
        todo = [i for i, row in found.items() if row is None]
        for i, row in self._scores({i: prompts[i] for i in todo}, answers):
            self._cache.put(digests[i], row)
            found[i] = row
        return np.array([found[i] for i in range(len(prompts))], float)


class Local(_Model):
    """Use `local()`."""

    def __init__(self, cache: bool):
        from shared import smollm2

        super().__init__(cache)
        try:
            import torch

            with warnings.catch_warnings():  # of a progress bar that is not drawn
                warnings.simplefilter("ignore")
                from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
                from transformers.utils import logging
        except ImportError as error:
            raise LLMError(
                f"The package {error.name} is missing: pip install transformers safetensors tokenizers gguf."
            ) from None
        folder = smollm2.folder()
        logging.disable_progress_bar()
        try:
            self._tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
            self._model = LlamaForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except Exception as error:  # each library below has errors of its own for a damaged file
            raise DataError(f"{folder} cannot be loaded ({type(error).__name__}): delete it and run again.") from None
        self._model.eval()
        self.weights = (smollm2.NAME, smollm2.GGUF_SHA256)

    def _ids(self, prompt: list[dict]) -> list[int]:
        text = self._tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _chat(self, prompt, max_tokens, temperature) -> str:
        import torch

        ids = torch.tensor([self._ids(prompt)])
        draw = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        with torch.inference_mode():
            out = self._model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens,
                                       pad_token_id=self._tokenizer.pad_token_id, **draw)  # fmt: skip
        return self._tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)

    def _scores(self, prompts: dict, answers):
        import torch

        first = [self._tokenizer(answer, add_special_tokens=False)["input_ids"][0] for answer in answers]
        if len(set(first)) < len(first):
            raise ValueError(f"Two of the answers {answers} begin with the same token: choose others.")
        ids = {i: self._ids(prompt) for i, prompt in prompts.items()}
        order = sorted(ids, key=lambda i: (len(ids[i]), ids[i]))  # like lengths together, whatever the order given
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            lengths = torch.tensor([len(ids[i]) for i in rows])
            # Padding on the right: positions count from the left, and no token looks ahead to what follows it.
            x = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
            for row, i in enumerate(rows):
                x[row, : len(ids[i])] = torch.tensor(ids[i])
            mask = (torch.arange(x.shape[1]) < lengths[:, None]).long()
            with torch.inference_mode():
                hidden = self._model.model(input_ids=x, attention_mask=mask, use_cache=False).last_hidden_state
                last = hidden[torch.arange(len(rows)), lengths - 1]  # (rows, width)
                logprobs = self._model.lm_head(last).float().log_softmax(-1)[:, first]
            yield from zip(rows, logprobs.double().tolist())


class Endpoint(_Model):
    """Use `endpoint()`."""

    def __init__(self, base_url, model, cache, timeout, retries):
        base_url, model = base_url or os.environ.get("BOOK_LLM_BASE_URL"), model or os.environ.get("BOOK_LLM_MODEL")
        if not base_url or not model:
            raise LLMError(
                "Name the endpoint in $BOOK_LLM_BASE_URL (https://host/v1) and its model in $BOOK_LLM_MODEL."
            )
        super().__init__(cache)
        try:
            import openai
        except ImportError:
            raise LLMError("The package openai is missing: pip install openai.") from None
        parts = urlsplit(base_url)
        key = os.environ.get("BOOK_LLM_API_KEY") or os.environ.get("OPENAI_API_KEY") or ""
        self._secrets = [s for s in (key, parts.password, parts.query) if s]
        # The address without user, password and query, which may hold a key.
        self.address = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self.model = self._clean(model)
        self.weights = (f"{self.model} at {self.address}", "not known: it runs at an endpoint")
        self._client = openai.OpenAI(base_url=base_url, api_key=key or "none", timeout=timeout, max_retries=retries)

    def __repr__(self) -> str:
        return f"Endpoint({self.model!r}, {self.address!r})"

    def _clean(self, text) -> str:
        text = str(text)
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def _ask(self, prompt, **settings):
        """First choice of a completion. Errors are raised outside the handlers: theirs carry the request."""
        import openai

        try:
            answer = self._client.chat.completions.create(model=self.model, messages=prompt, **settings)
            choice = answer.choices[0]
            _ = choice.message.content
            return choice
        except openai.APITimeoutError:
            why = "did not answer in time: try again later, or give endpoint() a longer timeout"
        except openai.APIConnectionError:
            why = "cannot be reached: check $BOOK_LLM_BASE_URL and the network"
        except openai.RateLimitError:
            why = "refuses for now (429, too many requests): wait, then run again; answers so far are kept"
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            why = "refuses the key: check $BOOK_LLM_API_KEY or $OPENAI_API_KEY"
        except openai.NotFoundError:
            why = "answers 404: check the path of $BOOK_LLM_BASE_URL (often ending in /v1) and $BOOK_LLM_MODEL"
        except openai.APIStatusError as error:
            # The client repeats only a "message"; servers made with FastAPI put their reason into "detail".
            detail = error.body.get("detail") if isinstance(error.body, dict) else None
            said = f"{error.message} - {detail}" if isinstance(detail, str) else error.message
            said = " ".join(self._clean(said).split())[:200]
            why = f"answers with error {error.status_code} ({said}): look there for the reason, or try again later"
        except Exception:  # HTML, empty bodies and wrong JSON surface as whatever the client trips over
            why = "does not speak the chat-completions protocol: check $BOOK_LLM_BASE_URL"
        raise LLMError(f"The endpoint {self.address} {why}.")

    def _chat(self, prompt, max_tokens, temperature) -> str:
        content = self._ask(prompt, max_tokens=max_tokens, temperature=temperature).message.content
        if not isinstance(content, str) or not content:
            raise LLMError(f"The endpoint {self.address} sent an empty answer: try another model or more max_tokens.")
        return self._clean(content)

    def _scores(self, prompts: dict, answers):
        for i, prompt in prompts.items():
            choice = self._ask(prompt, max_tokens=1, temperature=0, logprobs=True, top_logprobs=TOP)
            try:
                listed = [(t.token, float(t.logprob)) for t in choice.logprobs.content[0].top_logprobs]
                usable = bool(listed) and not any(math.isnan(p) for _, p in listed)
            except (AttributeError, IndexError, TypeError, ValueError):
                usable = False
            if not usable:
                raise LLMError(
                    f"The endpoint {self.address} sent no logprobs: scores need a model with top_logprobs; "
                    "unset $BOOK_LLM_BASE_URL to use the local model."
                )
            yield i, match(listed, answers)


def match(listed, answers) -> list[float]:
    """Log-probability of each answer from listed tokens: that of the longest token with which it alone begins.

    Args:
        listed: pairs of token and log-probability. A blank before a token does not count, but of two tokens that
            differ only in it the one without is taken.
        answers: the answers; a token that begins two of them counts for neither.
    """
    best = {answer: (0, False, FLOOR) for answer in answers}
    for listed_token, logprob in listed:
        token = listed_token.lstrip(" \t\n\u2581\u0120")
        begun = [answer for answer in answers if token and answer.startswith(token)]
        if len(begun) == 1:
            best[begun[0]] = max(best[begun[0]], (len(token), token == listed_token, max(logprob, FLOOR)))
    return [best[answer][2] for answer in answers]
