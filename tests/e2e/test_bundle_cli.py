# SPDX-License-Identifier: Apache-2.0
"""parley bundle, from an empty folder to roll-back, as an engineer uses it: each command does its work, and each refusal says what to do."""
import hashlib
import itertools
import os
import re
import struct
import subprocess
from pathlib import Path

import api

ROOT = Path(__file__).resolve().parents[2]
SLUG = "shell-" + api.RUN


def parley(*args, **more):
    program = os.environ.get("PARLEY_BIN", str(ROOT / "build/release/bin/parley"))
    env = {"PATH": os.environ["PATH"], "PARLEY_URL": api.url(), "PARLEY_TOKEN": api.tenant(SLUG), "PARLEY_ROOT": str(ROOT), **more}
    done = subprocess.run([program, *args], env=env, capture_output=True, text=True, timeout=60)
    assert "traceback" not in done.stderr and "lua:" not in done.stderr.replace(".lua:", ""), done
    return done


def good(*args, **more):
    done = parley(*args, **more)
    assert done.returncode == 0, (args, done)
    return done.stdout


def refused(*args, status=1, says=""):
    done = parley(*args)
    assert done.returncode == status and re.search(says, done.stderr), (args, says, done)
    return done.stderr


def version_in(text):
    return re.search(r"version ([0-9a-f]{12})", text)[1]


def live():
    return api.call("GET", "/scripts/live", token=api.tenant(SLUG)).json


def test_from_an_empty_folder_to_the_calls_that_run_it_and_back(tmp_path):
    folder = tmp_path / "scripts"
    assert "push" in good("bundle", "new", str(folder))
    for path in ("bundle.lua", "flows/main.lua", "lib/hours.lua", "spec/main_spec.lua", "README.md", ".luarc.json"):
        assert (folder / path).is_file(), path
    refused("bundle", "new", str(folder), says="not empty; name a new folder")
    assert "is sound" in good("bundle", "check", str(folder))
    assert "no versions yet" in good("bundle", "list")
    first = version_in(good("bundle", "push", str(folder)))
    assert live().get("version") is None, "pushed is not published"
    assert first in good("bundle", "publish", first[:6])
    assert live()["version"].startswith(first)
    refused("bundle", "rollback", says="no earlier version")

    main = folder / "flows/main.lua"
    main.write_text(main.read_text().replace("thank you for calling", "welcome"))
    (folder / "sounds").mkdir()
    (folder / "sounds/tone.wav").write_bytes(bytes(range(256)))
    diff = good("bundle", "diff", str(folder))
    assert '-    call:say "Hello, and thank you for calling."\n+    call:say "Hello, and welcome."\n' in diff and "\x1b" not in diff, diff
    assert "sounds/tone.wav: added" in diff
    second = version_in(good("bundle", "push", str(folder)))
    assert good("bundle", "diff", second) == good("bundle", "diff", first, second)
    assert "+++ b/flows/main.lua" in good("bundle", "diff", first, second)
    assert good("bundle", "diff", second, str(folder)) == ""

    pulled = tmp_path / "pulled"
    assert second in good("bundle", "pull", second[:5], str(pulled))
    for path in ("bundle.lua", "flows/main.lua", "sounds/tone.wav"):
        assert (pulled / path).read_bytes() == (folder / path).read_bytes(), path
    refused("bundle", "pull", str(pulled), says="--force")
    (pulled / "flows/main.lua").write_text("-- mine\n")
    good("bundle", "pull", str(pulled), "--force")
    assert "thank you for calling" in (pulled / "flows/main.lua").read_text(), "what is live, unless a version is named"

    assert "no canary is running" in good("bundle", "canary")
    refused("bundle", "canary", "promote", says="No canary is running")
    assert "has 10 % of new calls" in good("bundle", "canary", second)
    assert "has 25 % of new calls" in good("bundle", "canary", second, "--share", "25%", "--error-limit", "2.5", "--min-calls", "30")
    canary = live()["canary"]
    assert (canary["share"], canary["error_limit"], canary["min_calls"]) == (25, 2.5, 30)
    assert f"version {second} has 25 % of new calls" in good("bundle", "canary")
    refused("bundle", "canary", second, "--share", "99", says="share must be")
    refused("bundle", "canary", second, "--share", "much", status=2, says="must be a number")
    listed = good("bundle", "list").splitlines()
    assert [line.split()[0] for line in listed] == [second, first] and listed[0].endswith("canary") and listed[1].endswith("live")
    assert "is live: all new calls run it" in good("bundle", "canary", "promote")
    assert live()["version"].startswith(second) and "canary" not in live()
    assert first in good("bundle", "rollback") and live()["version"].startswith(first)
    good("bundle", "canary", second)
    assert "has ended" in good("bundle", "canary", "cancel") and "canary" not in live()
    shown = good("bundle", "show", second)
    assert f"made from {first}" in shown and "sounds/tone.wav" in shown and "0 failed" in shown
    assert good("bundle", "logs") == "" and good("logs") == ""


def test_what_is_wrong_is_told_with_file_and_line(tmp_path):
    folder = tmp_path / "scripts"
    good("bundle", "new", str(folder))
    main = folder / "flows/main.lua"
    text = main.read_text()
    for command in ("check", "push"):
        main.write_text("-- one\n-- two\nreturn ((\n" + text)
        told = refused("bundle", command, str(folder))
        assert re.search(rf"^{re.escape(str(main))}:\d+: ", told, re.M), told
        main.write_text(text.replace('return "goodbye"', 'return "goodby"', 1))
        told = refused("bundle", command, str(folder))
        assert re.search(rf"^{re.escape(str(main))}:\d+: .*goodby", told, re.M), told
        assert told.count("goodby'") == 1 and "1 problem" in told, "once"
    main.write_text(text)
    (folder / "a b.txt").write_text("x")
    refused("bundle", "check", str(folder), says="the path may only have letters")
    refused("bundle", "check", str(tmp_path / "none"), says="No such file")
    (tmp_path / "empty").mkdir()
    refused("bundle", "check", str(tmp_path / "empty"), says="parley bundle new DIR")


def test_every_refusal_says_what_to_do(tmp_path):
    assert "canary VERSION" in good("bundle") and good("bundle") == good("bundle", "help")
    refused("bundle", "dance", status=2, says="parley bundle shows those there are")
    for command in ("new", "check", "push", "publish", "pull"):
        refused("bundle", command, status=2, says="^parley: (which|into which)")
    refused("bundle", "publish", "0000", says="parley bundle list shows those there are")
    refused("bundle", "publish", "xyz", says="at least the first four characters")
    refused("bundle", "show", "canary", says="no canary is running")
    refused("bundle", "push", "a", "b", status=2, says="takes no 'b'")
    refused("bundle", "list", "--colour", "red", status=2, says="no option --colour; it has --tenant")
    refused("logs", "--call", "nobody", says="GET /calls lists")
    done = parley("bundle", "list", PARLEY_URL="http://127.0.0.1:1")
    assert done.returncode == 1 and "does not answer" in done.stderr


def packed(files):
    """The bytes whose SHA-256 names a version (core/script/bundle.h)."""
    parts = [b"PB1\n"]
    for path, text in sorted(files.items()):
        parts.append(struct.pack("<II", len(path), len(text)) + path.encode() + text.encode())
    return b"".join(parts)


def test_a_beginning_that_two_versions_share_is_refused_with_their_names(tmp_path):
    seen, found = {}, None
    for n in itertools.count():
        files = {"bundle.lua": f'return {{ numbers = {{ ["*"] = "flows/main.lua" }} }} -- {n}\n',
                 "flows/main.lua": 'return require("flow").define { start = "a", a = function(call) call:hangup() end }\n'}
        name = hashlib.sha256(packed(files)).hexdigest()
        if name[:4] in seen:
            found = (seen[name[:4]], (name, files))
            break
        seen[name[:4]] = (name, files)
    for i, (name, files) in enumerate(found):
        folder = tmp_path / str(i)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        assert version_in(good("bundle", "push", str(folder))) == name[:12]
    both = sorted(name[:12] for name, _ in found)
    refused("bundle", "publish", both[0][:4], says=f"several versions begin with {both[0][:4]} .{both[0]}, {both[1]}.: give more of the hash")
    assert both[0] in good("bundle", "publish", both[0])
