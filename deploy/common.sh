# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Read by up and down: where things are, and whose a process is.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
var=$(readlink -m "${PARLEY_VAR:-$root/var}")
build=$(readlink -m "${PARLEY_BUILD:-$root/build/release}")
run=$var/run
node=$var/n1

# True when pid $1 is this folder's parleyd (the master) and not whatever has the number by now.
is_parleyd() {
    [[ ${1:-} =~ ^[0-9]+$ ]] && [ -r "/proc/$1/cmdline" ] &&
        tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qxF -- "$var/parley.lua" &&
        tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | head -n 1 | grep -q 'parleyd$'
}
master_pid() { cat "$run/master.pid" 2>/dev/null || true; }
wait_gone() { # wait_gone PID SECONDS
    local tries=$(($2 * 20))
    while is_parleyd "$1"; do
        [ $((tries--)) -gt 0 ] || return 1
        sleep 0.05
    done
}
