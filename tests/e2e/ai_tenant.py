# SPDX-License-Identifier: Apache-2.0
"""A tenant with AI providers, which are the fakes: what the tests of the AI endpoints share."""
import time

from api import call

# kind: (the fake, what its base URL ends with, models of which the first chats and the second makes vectors)
KINDS = {
    "openai_chat": ("openai", "/v1", ["gpt-4.1-mini", "text-embedding-3-small"]),
    "openai_responses": ("openai", "/v1", ["gpt-4o"]),
    "claude": ("claude", "", ["claude-sonnet-4-5"]),
    "gemini": ("gemini", "", ["gemini-2.5-flash", "gemini-embedding-001"]),
    "ollama": ("ollama", "", ["llama3.2", "nomic-embed-text"]),
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
