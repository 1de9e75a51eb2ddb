# SPDX-License-Identifier: Apache-2.0
"""What the platform says about a call: its API over HTTP, with the log-in of var/parley.env."""
import calendar
import fcntl
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

TOKEN_S = 300  # of the 15 minutes a token is valid


class Refused(Exception):
    """The platform did not answer, or answered with a problem; the text is for people."""


def settings(root):
    """{name: value} of var/parley.env (PARLEY_VAR: of another folder than var), overridden by the environment."""
    found = {}
    try:
        for line in (Path(os.environ.get("PARLEY_VAR") or Path(root) / "var") / "parley.env").read_text().splitlines():
            name, equals, value = line.removeprefix("export ").partition("=")
            if equals and name.startswith("PARLEY_"):
                found[name] = value.strip("'\"")
    except OSError:
        pass
    found.update({name: value for name, value in os.environ.items() if name.startswith("PARLEY_") and value})
    return found


class Platform:
    def __init__(self, url, email, password, tenant=None, keep=None):
        """keep: a file where the token may lie for the next minutes, so that many calls log in once."""
        if not is_url(url):
            raise Refused(f"PARLEY_URL={url} is no URL, such as http://127.0.0.1:8080")
        self.url, self._email, self._password, self._tenant = url.rstrip("/"), email, password, tenant
        self._keep = Path(keep) if keep else None
        self._token = None

    def _fetch(self, method, path, body=None, token=None):
        request = urllib.request.Request(self.url + path, method=method)
        if token:
            request.add_header("Authorization", "Bearer " + token)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        for attempt in range(6):
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    data = answer.read()
                    return json.loads(data) if answer.headers.get_content_type() == "application/json" else data
            except urllib.error.HTTPError as error:
                # A full log-in queue or a limit says when to come back.
                if error.code in (429, 503) and attempt < 5:
                    wait = error.headers.get("Retry-After", "1")
                    time.sleep(min(5, int(wait) if wait.isdigit() else 1))
                    continue
                try:
                    detail = json.loads(error.read())["detail"]
                except (ValueError, KeyError, TypeError):
                    detail = error.reason
                raise Refused(f"{method} {path} answered {error.code}: {detail}") from None
            except (OSError, ValueError, http.client.HTTPException) as error:
                why = getattr(error, "reason", error)
                raise Refused(f"{self.url} does not answer: {getattr(why, 'strerror', None) or why}; is the platform up (deploy/up)?") from None

    def _log_in(self):
        body = {"email": self._email, "password": self._password}
        if self._tenant:
            body["tenant"] = self._tenant
        return self._fetch("POST", "/auth/login", body)["token"]

    def token(self):
        if self._token:
            return self._token
        if self._keep is None:
            self._token = self._log_in()
            return self._token
        who = f"{self.url} {self._email} {self._tenant or ''}"
        descriptor = os.open(self._keep, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            kept = file.read().split("\n")
            if len(kept) == 3 and kept[0] == who and time.time() - float(kept[1]) < TOKEN_S and self._still_valid(kept[2]):
                self._token = kept[2]
            else:
                self._token = self._log_in()
                file.seek(0)
                file.truncate()
                file.write(f"{who}\n{time.time():.0f}\n{self._token}")
        return self._token

    def _still_valid(self, token):
        try:
            self._fetch("GET", "/auth/me", token=token)
            return True
        except Refused:
            return False

    def get(self, path, **query):
        return self._fetch("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""), token=self.token())

    def trunk_address(self, number):
        """Where calls to that number come from, or None when the platform does not know it."""
        for row in self.get("/numbers")["numbers"]:
            if digits(row["number"]) == digits(number) and row.get("from"):
                first = row["from"].split(",")[0].strip().split("/")[0]
                return first or None
        return None

    def find_call(self, caller, number, since, limit_s):
        """The ended call of `caller` to `number` that began at `since` (epoch seconds) or later; waits for it. None: there is none."""
        until = time.monotonic() + limit_s
        found = None
        while True:
            rows = self.get("/calls", phone=caller, limit=20)["calls"]
            # Newest first; ours is the oldest of those that began after we dialled.
            mine = [row for row in rows if digits(row.get("to")) == digits(number) and epoch(row.get("startTime")) >= since - 1]
            if mine:
                found = self.get("/calls/" + urllib.parse.quote(mine[-1]["id"]))
                if found.get("endTime"):
                    return found
            if time.monotonic() > until:
                return found
            time.sleep(0.2)

    def said(self, call):
        """What was said in a call's conversations: list of { speaker, text, beganMs since the call began, interrupted }; empty when there was none.
        Its last lines may be written a moment after the call has ended, so what is told is what has been so for a moment."""
        before, path = None, f"/calls/{urllib.parse.quote(call)}/transcript"
        for _ in range(10):
            found = self.get(path)["utterances"]
            if found == before:
                break
            before = found
            time.sleep(0.3)
        return found

    def lead(self, lead):
        """A lead's fields; None of none."""
        return self.get("/leads/" + urllib.parse.quote(lead)) if lead else None


def is_url(text):
    """Whether it is one of HTTP with a host that may have this name."""
    try:
        parts = urllib.parse.urlsplit(text)
        host = parts.hostname or ""
        host.encode("idna")
        return parts.scheme in ("http", "https") and re.fullmatch(r"[^\s\x00-\x1f\x7f]+", host) is not None and parts.port != 0
    except ValueError:
        return False


def digits(number):
    """A number without its "+", which the platform writes and callers may leave out."""
    return (number or "").removeprefix("+")


def epoch(text):
    """Seconds since 1970 of an RFC 3339 time in UTC; 0 when there is none."""
    if not text:
        return 0
    whole, _, part = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + (float("0." + part) if part else 0)
