# SPDX-License-Identifier: Apache-2.0
"""nginx with Lua beside Parley: the packages of this machine's own archive, unpacked in a folder and never installed, because
they need another LuaJIT than ours (libluajit2-5.1-2)."""
import base64
import hashlib
import hmac
import os
import subprocess
import time
import urllib.request
from pathlib import Path

from world import free_ports

HERE = Path(__file__).resolve().parent
PACKAGES = ["nginx", "nginx-common", "libnginx-mod-http-lua", "libnginx-mod-http-ndk", "libluajit2-5.1-2", "libluajit2-5.1-common", "lua-resty-core",
            "lua-resty-lrucache", "lua-cjson", "lua-sql-mysql"]
CACHE = HERE.parents[1] / "var/cache/bench-peer"
TICK = os.sysconf("SC_CLK_TCK")


def unpacked():
    """The packages' root; raises when they cannot be had."""
    root = CACHE / "root"
    if not (root / "done").exists():
        (CACHE / "debs").mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=CACHE / "debs", check=True, capture_output=True)
        for package in (CACHE / "debs").glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, root], check=True)
        (root / "done").touch()
    return root


class Nginx:
    """with Nginx(folder, "x.conf", NAME=value, ...) as p: p.url, p.cpu(). The values stand for @NAME@ in peer/x.conf."""

    def __init__(self, folder, conf, **values):
        self.dir, self.conf, self.values, self.port = Path(folder), conf, values, free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        root = unpacked()
        self.dir.mkdir()
        conf = (HERE / "peer" / self.conf).read_text()
        for name, value in {"ROOT": root, "DIR": self.dir, "BENCH": HERE, "PORT": self.port, **self.values}.items():
            conf = conf.replace(f"@{name}@", str(value))
        (self.dir / "nginx.conf").write_text(conf)
        libraries = root / "usr/lib/x86_64-linux-gnu"
        self.master = subprocess.Popen([root / "usr/sbin/nginx", "-c", self.dir / "nginx.conf", "-e", self.dir / "error.log", "-p", self.dir],
                                       env={**os.environ, "LD_LIBRARY_PATH": str(libraries)}, stdout=subprocess.DEVNULL, stderr=open(self.dir / "stderr", "w"))
        for _ in range(100):
            try:
                urllib.request.urlopen(self.url + "/health", timeout=2).read()
                break
            except OSError:
                if self.master.poll() is not None:
                    break
                time.sleep(0.05)
        else:
            self.master.kill()
        if self.master.poll() is not None:
            raise RuntimeError("nginx did not start: " + (self.dir / "stderr").read_text() + (self.dir / "error.log").read_text())
        children = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children").read_text().split()
        self.worker = int(children[0])
        return self

    def __exit__(self, *_):
        self.master.terminate()
        self.master.wait(10)

    def cpu(self):
        parts = Path(f"/proc/{self.worker}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / TICK


class Peer(Nginx):
    """The routes of peer/routes.lua on a world's database. with Peer(world, schema) as p: p.token too"""

    def __init__(self, world, schema):
        super().__init__(world.dir / "peer", "nginx.conf", SOCKET=world.dir / "mysql.sock", SCHEMA=schema)
        claims = "eyJzdWIiOiJiZW5jaCJ9"
        self.token = claims + "." + base64.b64encode(hmac.new(b"a key of the bench", claims.encode(), hashlib.sha1).digest()).decode()
