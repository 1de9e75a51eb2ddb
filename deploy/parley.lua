-- SPDX-License-Identifier: Apache-2.0
--- Parley's configuration: one table. `parleyd --settings` prints every setting with its type, default and meaning,
--- `parleyd --check --config FILE` says whether a file is right. What is not written here has its default.
---
--- Any single value can be overridden from the environment: PARLEY_ and its path with __ for dots, in capitals.
--- http.port is PARLEY_HTTP__PORT. A secret is written as "env:NAME", "file:/path", or as the text itself.
---
--- deploy/up writes a file like this one for the machine it runs on, as var/parley.lua.
return {
  -- Worker processes; 0 is one per core. With two or more, a call survives the death of its worker.
  workers = 0,

  -- Pid files, sockets, and what workers have in memory and not written yet (remains/, encrypted where it is personal): a folder in memory is
  -- best, for nothing in it is waited for.
  run_dir = "/run/parley",

  http = {
    bind = "127.0.0.1",
    port = 8080,
    -- HTTPS on http.tls_port as soon as there is a certificate:
    -- tls_port = 8443, tls_cert = "/etc/parley/tls.crt", tls_key = "/etc/parley/tls.key",
    -- Where browsers may come from besides this server's own pages:
    -- origins = { "https://desk.example.com" },
  },

  -- Connections of each worker to those whose answers are streamed, such as AI providers. The defaults are right for most.
  -- http_streams = { connections = 512, waiting = 1000, per_connection = 250, idle_ms = 90000 },

  sql = {
    -- The main database server, by socket or by host and port. More servers: sql.servers.
    socket = "/run/mysqld/mysqld.sock",
    user = "parley",
    password = os.getenv("PARLEY_MYSQL_PASSWORD") and "env:PARLEY_MYSQL_PASSWORD" or "",
    schema = "parley",
    -- A replica answers the lists of calls, leads, events and audit rows, which may then be some seconds old; when it is away or
    -- more than 30 s behind, the main server does. Its user needs the right to ask (REPLICA MONITOR or REPLICATION CLIENT).
    -- servers = { { name = "near", replica_of = "main", host = "db2.example.com", user = "parley", password = "env:PARLEY_MYSQL_PASSWORD" } },
  },

  -- A cluster: "redis-cluster://:password@10.0.0.1:6379,10.0.0.2:6379", some of its nodes; the others are found by them.
  redis = { url = "redis://127.0.0.1:6379" },

  telephony = {
    -- One record for each Asterisk (22 or newer), set up by deploy/asterisk/conf. Without one there is no telephony:
    -- nodes = {
    --   { name = "n1", ari_url = "http://127.0.0.1:8088/ari", user = "parley", password = "file:/etc/parley/ari.password",
    --     sip = "127.0.0.1:5060" },
    -- },
    -- Where audio is spoken with the nodes: our address as they reach it, and the ports.
    bind = "127.0.0.1",
    rtp_min = 30000,
    rtp_max = 39999,
  },

  -- What a tenant's scripts may use up. The defaults are right for most.
  cells = { soft_mb = 32, hard_mb = 64 },

  -- 32 bytes as 64 hexadecimal digits; it wraps every tenant's key. Make it with `openssl rand -hex 32`, and keep a copy in a
  -- safe place: without it all that is encrypted is lost.
  crypto = { master_key = os.getenv("PARLEY_MASTER_KEY") and "env:PARLEY_MASTER_KEY" or "file:/etc/parley/master.key" },

  blobs = { directory = "/var/lib/parley/blobs" },
  spool = { directory = "/var/lib/parley/spool" },

  -- What a caller hears when a tenant's script fails and the tenant has declared no fallback of its own.
  fallback = { say = "We cannot take your call right now. Please try again later." },

  log = { level = "info" },
}
