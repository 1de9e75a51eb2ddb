/* SPDX-License-Identifier: Apache-2.0 */
/* Every setting of the server. `parleyd --settings` prints this table; nothing else declares a setting. */
#include "base/config.h"

#define PORT      0, 65535
#define ONE_PORT  1, 65535
#define HOST_PORT "[^[:space:]]+:[0-9]{1,5}"

const struct config_row config_rows[] = {
    /* clang-format off */
    /* path, type, default, min, max, doc, pattern */
    { "workers", CONFIG_INT, "0", 0, 256, "worker processes; 0: one per core", NULL },
    { "watchdog_ms", CONFIG_INT, "1000", 100, 60000, "a worker whose loop or media thread stands still longer is killed", NULL },
    { "run_dir", CONFIG_STRING, "/run/parley", 1, 80, "directory of pid files and sockets", NULL },

    { "http.bind", CONFIG_STRING, "127.0.0.1", 1, 255, "address the server listens on", NULL },
    { "http.port", CONFIG_INT, "8080", PORT, "port for HTTP; 0: off", NULL },
    { "http.tls_port", CONFIG_INT, "8443", PORT, "port for HTTPS; 0: off", NULL },
    { "http.tls_cert", CONFIG_STRING, "", 0, 4096, "file with the certificate chain (PEM)", NULL },
    { "http.tls_key", CONFIG_STRING, "", 0, 4096, "file with the certificate's key (PEM)", NULL },
    { "http.body_limit", CONFIG_INT, "1048576", 1024, 1073741824, "largest request body, in bytes", NULL },
    { "http.connections", CONFIG_INT, "20000", 0, 1000000, "connections a worker may have; 0: no limit", NULL },
    { "http.connections_per_address", CONFIG_INT, "4096", 0, 1000000, "of them from one address (IPv6: one /64); 0: no limit", NULL },
    { "http.proxies", CONFIG_LIST, "", 0, 45, "addresses of proxies before us, which may have more (at most 64 of them)", "[0-9A-Fa-f.:]+" },
    { "http.websocket_deflate", CONFIG_BOOL, "true", 0, 0, "pack WebSocket messages for clients that ask for it", NULL },
    { "http.origins", CONFIG_LIST, "", 0, 255, "Origins a browser may come from besides our own", "https?://[^/[:space:]]+" },
    { "http.grace_ms", CONFIG_INT, "5000", 0, 600000, "how long a stopping worker lets requests finish", NULL },

    { "http_streams.connections", CONFIG_INT, "512", 1, 65536, "connections of a worker to one origin whose answers are streamed, such as an AI provider", NULL },
    { "http_streams.waiting", CONFIG_INT, "1000", 1, 1000000, "requests of a worker that may wait for one of them; who comes then is refused", NULL },
    { "http_streams.per_connection", CONFIG_INT, "250", 1, 10000, "requests at a time on one connection in HTTP/2, if the server allows so many", NULL },
    { "http_streams.idle_ms", CONFIG_INT, "90000", 1000, 3600000, "how long a connection without a request is kept", NULL },

    { "limits.read.per_second", CONFIG_INT, "1000", 1, 1000000, "reading requests of one client, for a long time", NULL },
    { "limits.read.burst", CONFIG_INT, "2000", 1, 1000000, "reading requests of one client, at once", NULL },
    { "limits.write.per_second", CONFIG_INT, "1000", 1, 1000000, "changing requests of one client, for a long time", NULL },
    { "limits.write.burst", CONFIG_INT, "2000", 1, 1000000, "changing requests of one client, at once", NULL },
    { "limits.public.per_second", CONFIG_INT, "200", 1, 1000000, "requests of one address that need no log-in, for a long time", NULL },
    { "limits.public.burst", CONFIG_INT, "1000", 1, 1000000, "requests of one address that need no log-in, at once", NULL },
    { "limits.statements_waiting", CONFIG_INT, "500", 1, 4096, "new calls are turned away while more statements than this wait for a database connection of a worker", NULL },
    { "limits.calls_per_tenant", CONFIG_INT, "8000", 1, 16384, "calls one tenant may have in a worker: who comes beyond is turned away", NULL },
    { "limits.verbs_per_second", CONFIG_INT, "2000", 1, 1000000, "verbs a second that one tenant's scripts may ask for in a worker, for a long time; beyond it their answers wait", NULL },
    { "limits.script_log_days", CONFIG_INT, "30", 1, 3650, "how long lines of a script log are kept", NULL },

    { "sql.socket", CONFIG_STRING, "", 0, 107, "socket of the main database server; empty: by host and port", NULL },
    { "sql.host", CONFIG_STRING, "", 0, 255, "host of the main database server", NULL },
    { "sql.port", CONFIG_INT, "3306", ONE_PORT, "its port", NULL },
    { "sql.user", CONFIG_STRING, "parley", 1, 80, "its user", NULL },
    { "sql.password", CONFIG_SECRET, "", 0, 1024, "its password", NULL },
    { "sql.schema", CONFIG_STRING, "parley", 1, 40, "the platform's schema; tenants' schemas begin with it", "[a-z][a-z0-9_]*" },
    { "sql.connections", CONFIG_INT, "8", 1, 256, "at most so many connections of each worker to each database server, opened as needed", NULL },
    { "sql.servers", CONFIG_RECORDS, "", 0, 256, "further database servers, for tenants that live there", NULL },
    { "sql.servers[].name", CONFIG_STRING, NULL, 1, 64, "the name tenants refer to", "[a-z][a-z0-9_-]*" },
    { "sql.servers[].socket", CONFIG_STRING, "", 0, 107, "its socket; empty: by host and port", NULL },
    { "sql.servers[].host", CONFIG_STRING, "", 0, 255, "its host", NULL },
    { "sql.servers[].port", CONFIG_INT, "3306", ONE_PORT, "its port", NULL },
    { "sql.servers[].user", CONFIG_STRING, "parley", 1, 80, "its user", NULL },
    { "sql.servers[].password", CONFIG_SECRET, "", 0, 1024, "its password", NULL },
    { "sql.servers[].replica_of", CONFIG_STRING, "", 0, 64, "the server whose replica it is ('main' or a name here): it answers reads that may be old", "([a-z][a-z0-9_-]*)?" },

    { "redis.url", CONFIG_SECRET, "redis://127.0.0.1:6379", 1, 1024, "redis://[:password@]host:port[/db], redis-cluster://[:password@]host:port,host:port,... (some nodes of a cluster) or unix:///path", "(rediss?|redis-cluster|unix)://.+" },
    { "redis.prefix", CONFIG_STRING, "", 0, 64, "put before every key, where several systems share one Redis", "[A-Za-z0-9_.:-]*" },

    { "telephony.nodes", CONFIG_RECORDS, "", 0, 256, "the Asterisk nodes", NULL },
    { "telephony.nodes[].name", CONFIG_STRING, NULL, 1, 32, "its name in call ids and log lines", "[a-z][a-z0-9]*" },
    { "telephony.nodes[].ari_url", CONFIG_STRING, NULL, 1, 1024, "its ARI, as http://host:port/ari", "https?://.+" },
    { "telephony.nodes[].user", CONFIG_STRING, NULL, 1, 80, "ARI user", NULL },
    { "telephony.nodes[].password", CONFIG_SECRET, NULL, 1, 1024, "ARI password", NULL },
    { "telephony.nodes[].sip", CONFIG_STRING, NULL, 1, 255, "host:port of its SIP side", HOST_PORT },
    { "telephony.slots", CONFIG_INT, "16", 1, 256, "slots of each node; the node is set up for as many", NULL },
    { "telephony.lease_ms", CONFIG_INT, "3000", 500, 60000, "how long a slot stays with a worker that has gone silent", NULL },
    { "telephony.bind", CONFIG_STRING, "127.0.0.1", 1, 255, "address for RTP, as the nodes reach us", NULL },
    { "telephony.rtp_min", CONFIG_INT, "30000", 1024, 65535, "first port for RTP", NULL },
    { "telephony.rtp_max", CONFIG_INT, "39999", 1024, 65535, "last port for RTP", NULL },

    { "cells.weak", CONFIG_BOOL, "false", 0, 0, "start even where the kernel cannot confine tenants' scripts", NULL },
    { "cells.soft_mb", CONFIG_INT, "32", 4, 4096, "memory at which a tenant's script is told to collect", NULL },
    { "cells.hard_mb", CONFIG_INT, "64", 8, 4096, "memory a tenant's script can have at most", NULL },
    { "cells.slice_ms", CONFIG_INT, "2", 1, 1000, "how long one task of a tenant runs before the next gets its turn", NULL },
    { "cells.invocation_ms", CONFIG_INT, "1000", 1, 600000, "processor time one invocation may take", NULL },
    { "cells.call_ms", CONFIG_INT, "10000", 1, 3600000, "processor time all scripts of one call may take", NULL },
    { "cells.share_percent", CONFIG_INT, "50", 1, 100, "share of a core a tenant may have before it is slowed down", NULL },
    { "cells.ready", CONFIG_INT, "4", 0, 64, "cells that wait for their tenant; each takes about 100 KiB", NULL },

    { "crypto.master_key", CONFIG_SECRET, NULL, 64, 64, "64 hexadecimal digits (32 bytes); wraps each tenant's data key", "[0-9A-Fa-f]*" },
    { "auth.token_minutes", CONFIG_INT, "15", 1, 1440, "how long a session token is valid", NULL },
    { "auth.refresh_hours", CONFIG_INT, "12", 1, 720, "how long a session can be renewed", NULL },

    { "blobs.directory", CONFIG_STRING, "/var/lib/parley/blobs", 1, 4096, "where recordings and files are kept", NULL },
    { "spool.directory", CONFIG_STRING, "/var/lib/parley/spool", 1, 4096, "where work waits while the database is away", NULL },

    { "speech.voice", CONFIG_STRING, "en-us", 1, 64, "voice of the local synthesiser where a tenant has chosen none", NULL },

    { "fallback.say", CONFIG_STRING, "We cannot take your call right now. Please try again later.", 0, 1000, "what a caller hears when the tenant's script fails and the tenant has no fallback", NULL },
    { "fallback.transfer", CONFIG_STRING, "", 0, 255, "where such a call goes then; empty: nowhere", NULL },
    { "fallback.voicemail", CONFIG_BOOL, "false", 0, 0, "take a message from such a caller", NULL },

    { "log.level", CONFIG_STRING, "info", 0, 0, "least level that is logged", "debug|info|warn|error" },
    { NULL, 0, NULL, 0, 0, NULL, NULL },
    /* clang-format on */
};

const struct config_order config_orders[] = {
    {"telephony.rtp_min", "telephony.rtp_max"},
    {"cells.soft_mb", "cells.hard_mb"},
    {NULL, NULL},
};
