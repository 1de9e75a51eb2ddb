# SPDX-License-Identifier: Apache-2.0
#
# Parley's own programs: what talks to a database, a Redis and Asterisk nodes that run elsewhere. For all of it on one machine, with a
# test call, there is deploy/up.
#
#   docker build -t parley .
#   docker run --rm SETTINGS parley parley migrate          before the first start and after each upgrade
#   docker run --network host SETTINGS parley               the server: master, workers, cells
#
# SETTINGS are those of deploy/parley.lua, each by its variable or all in a file (-v FILE:/etc/parley/parley.lua:ro); at the least:
#   -e PARLEY_MASTER_KEY=...                                64 hexadecimal digits: openssl rand -hex 32
#   -e PARLEY_SQL__HOST=... -e PARLEY_MYSQL_PASSWORD=...    -e PARLEY_REDIS__URL=redis://...
#   -v parley:/var/lib/parley                               recordings and files, what waits to become some or to be written
# Asterisk nodes are a list, which stands in the file. They send audio to the address telephony.bind, which must be one of the
# container's own: hence the host's network.
#
# The server runs as the user parley. What confines tenants' scripts takes more than such a user has and more than Docker allows by
# default, and without it the server does not start. Give it:
#   --user root --cap-add SYS_ADMIN --security-opt apparmor=unconfined
#                                   each script has a user id, a network and a root of its own (the user of a script is never root)
#   -e PARLEY_CELLS__WEAK=true      or do with less: seccomp and limits hold all the same, and /ready says "weak"

FROM debian:12 AS build
WORKDIR /src
COPY deploy/install deploy/packages deploy/
RUN deploy/install run && rm -rf /var/lib/apt/lists/*
COPY CMakeLists.txt ./
COPY deploy/cmake deploy/cmake
COPY core core
# The folders of tests that CMakeLists.txt names: it asks for every source, also of what is not built here.
COPY tests/core tests/core
COPY tests/load tests/load
COPY tests/bench tests/bench
RUN cmake -C deploy/cmake/release.cmake -S . -B build && cmake --build build -j "$(nproc)" --target parleyd parley parley-cell
# The packages that hold the libraries these are linked with, for the image that has no compiler.
RUN ldd build/bin/parleyd build/bin/parley build/bin/parley-cell | grep -o '/[^ ]*\.so[^ ]*' | sort -u | \
    while read -r library; do dpkg -S "*/$(basename "$(readlink -f "$library")")"; done | cut -d: -f1 | sort -u >build/libraries

FROM debian:12
COPY --from=build /src/build/libraries /tmp/libraries
# Besides the libraries: the one that libwebsockets loads by name, and the programs that are run: local speech, and the look at one's health.
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(cat /tmp/libraries) \
        libwebsockets-evlib-uv espeak-ng pocketsphinx pocketsphinx-en-us ca-certificates curl && \
    rm -rf /var/lib/apt/lists/* /tmp/libraries && \
    useradd --system --user-group --no-create-home --home-dir /var/lib/parley --shell /usr/sbin/nologin parley && \
    install -d -o parley -g parley -m 700 /var/lib/parley /var/lib/parley/blobs /var/lib/parley/spool
COPY --from=build /src/build/bin/parleyd /src/build/bin/parley /src/build/bin/parley-cell /opt/parley/bin/
COPY lua /opt/parley/lua
COPY plugins /opt/parley/plugins
COPY schema /opt/parley/schema
COPY tenants /opt/parley/tenants
COPY LICENSE /opt/parley/
RUN ! ldd /opt/parley/bin/* | grep 'not found'
COPY deploy/parley.lua /etc/parley/parley.lua
# run_dir is the volume itself, so that what workers had not written outlives the container, and no volume lacks the folder.
ENV PATH=/opt/parley/bin:$PATH PARLEY_CONFIG=/etc/parley/parley.lua PARLEY_RUN_DIR=/var/lib/parley PARLEY_HTTP__BIND=0.0.0.0 \
    PARLEY_SQL__SOCKET=
USER parley
WORKDIR /var/lib/parley
VOLUME /var/lib/parley
EXPOSE 8080 8443
# A drain: calls go to another worker or wait in Asterisk for the next start.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD curl -fsS -o /dev/null "http://127.0.0.1:${PARLEY_HTTP__PORT:-8080}/health"
CMD ["parleyd"]
