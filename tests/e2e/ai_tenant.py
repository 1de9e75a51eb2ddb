# SPDX-License-Identifier: Apache-2.0
"""A tenant with AI providers, which are the fakes: what the tests of the AI endpoints share."""
import time
from urllib.parse import quote

import api
from api import call

# kind: (the fake, what its base URL ends with, the model that chats, the model that makes vectors)
KINDS = {
    "openai_chat": ("openai", "/v1", "gpt-4.1-mini", "text-embedding-3-small"),
    "openai_responses": ("openai", "/v1", "gpt-4o", None),
    "claude": ("claude", "", "claude-sonnet-4-5", None),
    "gemini": ("gemini", "", "gemini-2.5-flash", "gemini-embedding-001"),
    "ollama": ("ollama", "", "llama3.2", "nomic-embed-text"),
}


def wait(condition, seconds=20):
    """Waits until it is so."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never came to be"
        time.sleep(0.05)


def api_key(token, scopes):
    made = call("POST", "/auth/keys", {"name": " ".join(scopes), "scopes": scopes}, token)
    assert made.status == 201, made
    return made.json["key"]


def done(answer, status):
    assert answer.status == status, answer
    return answer


class Providers:
    """Sets up a tenant's providers, as an operator does it."""

    def __init__(self, slug, fakes, operator=None):
        self.slug, self.fakes, self.operator = slug, fakes, operator or api.operator()

    def _call(self, method, path, body=None):
        return call(method, f"/ai/{path}?tenantId={self.slug}", body, self.operator)

    def add(self, kind, name=None, chats=None, vectors=None, url=None, keys=("a-key",), quality=50, weight=1, **more):
        """A provider of a kind with its models; returns their names, "provider/model": those that chat, those that make vectors. url: where it is,
        if not at the fakes."""
        name = name or kind.replace("_", "-")
        fake, ends, chat, vector = KINDS[kind]
        chats = [chat] if chats is None else chats
        vectors = ([vector] if vector else []) if vectors is None else vectors
        done(self._call("POST", "providers", {"name": name, "kind": kind, "url": (url or self.fakes.url(fake)) + ends, **more}), 201)
        for key in keys:
            done(self._call("POST", f"providers/{name}/keys", {"name": key, "key": key}), 201)
        for purpose, models in (("chat", chats), ("embeddings", vectors)):
            for model in models:
                done(self._call("PUT", f"providers/{name}/models/{quote(model, safe='')}", {"purpose": purpose, "quality": quality, "weight": weight}), 204)
        return [f"{name}/{model}" for model in chats], [f"{name}/{model}" for model in vectors]

    def policy(self, **fields):
        done(self._call("PUT", "policy", fields), 204)
