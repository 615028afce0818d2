#!/bin/bash
# Installs what is named and missing: ops (the replclus command, in .venv/), dev (that and the tools for tests and checks),
# mariadb, mysql (database servers), mariadb-tools (what rebuilding a MariaDB server takes; MySQL's come with its server), lab
# (what the fault lab breaks networks, disks and clocks with). For Debian 12 and 13, Ubuntu 22.04 and 24.04; as root, or with
# sudo. Ends within a second when everything is there. No service is ever started: only packages with bare programs are installed.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

say() { echo "setup: $*"; }

quietly() {
    "$@" </dev/null >"$log" 2>&1 && return
    echo "setup: '$*' failed; its last lines:" >&2
    tail -n 20 "$log" >&2
    exit 1
}

as_root=()
updated=
# Makes sure that we may install packages, and that apt knows today's.
prepare_apt() {
    [[ -n $updated ]] && return
    if ! command -v apt-get >/dev/null; then
        echo "setup: this needs $*; there is no apt-get here to install it with" >&2
        exit 1
    fi
    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null || { echo "setup: run this as root: apt-get install $*" >&2; exit 1; }
        as_root=(sudo)
    fi
    quietly "${as_root[@]}" apt-get update
    updated=yes
}

install_packages() {
    prepare_apt "$@"
    say "installing $*"
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

available() { apt-cache show "$1" >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Without dev the environment is there in half the time, which is what somebody who wants to see the demo waits for.
setup_python() {
    local wanted
    wanted=$(sha256sum pyproject.toml)
    if [[ -x .venv/bin/replclus ]]; then
        [[ $(cat .venv/.installed-ops,dev 2>/dev/null) == "$wanted" ]] && return
        [[ $1 == ops && $(cat .venv/.installed-ops 2>/dev/null) == "$wanted" ]] && return
    fi
    if [[ ! -x .venv/bin/pip ]]; then
        local python
        if ! python=$(find_python); then
            prepare_apt python3-venv
            # Ubuntu 22.04's own python3 is 3.10, and it has a 3.11 beside it.
            if [[ $(apt-cache policy python3 | awk '/Candidate:/ {print $2}') == 3.10.* ]]; then
                install_packages python3.11 python3.11-venv
            else
                install_packages python3 python3-venv
            fi
            python=$(find_python) || { echo "setup: Python 3.11 or newer, with venv, is needed" >&2; exit 1; }
        fi
        say "making .venv with $("$python" --version)"
        quietly "$python" -m venv .venv
    fi
    say "installing replclus[$1] into .venv"
    quietly .venv/bin/pip install --disable-pip-version-check --editable ".[$1]"
    echo "$wanted" >".venv/.installed-$1"
}

setup_mariadb() {
    [[ -n ${REPLCLUS_MARIADBD:-} ]] && return
    PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mariadbd >/dev/null && return
    local server=mariadb-server-core
    prepare_apt "$server"
    # Ubuntu 22.04 has the version in the name.
    available "$server" || server=mariadb-server-core-10.6
    # The client package has the program that reads option files for mariadb-install-db.
    install_packages "$server" "${server/server/client}"
}

setup_mariadb_tools() {
    command -v mariadb-binlog >/dev/null && command -v mariadb-dump >/dev/null && command -v mariadb-backup >/dev/null && return
    local client=mariadb-client
    prepare_apt "$client"
    available "$client" || client=mariadb-client-10.6
    install_packages "$client" mariadb-backup
}

setup_mysql() {
    [[ -n ${REPLCLUS_MYSQLD:-} || -x .servers/mysql/bin/mysqlbinlog ]] && return
    local path
    if path=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mysqld) && [[ $("$path" --version) != *MariaDB* ]]; then
        return
    fi
    [[ -e /usr/share/keyrings/debian-archive-keyring.gpg || -e /usr/share/keyrings/debian-archive-keyring.pgp ]] ||
        install_packages debian-archive-keyring
    command -v xz >/dev/null || install_packages xz-utils
    tools/install-mysql.sh
}

setup_lab() {
    local missing=()
    local PATH=$PATH:/usr/sbin:/sbin
    [[ -e /usr/include/stdlib.h ]] && command -v gcc >/dev/null || missing+=(gcc libc6-dev)
    command -v iptables-restore >/dev/null || missing+=(iptables)
    command -v ip >/dev/null || missing+=(iproute2)
    command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
    [[ ${#missing[@]} == 0 ]] || install_packages "${missing[@]}"
}

for part in "$@"; do
    case $part in
        ops) setup_python ops ;;
        dev) setup_python ops,dev ;;
        mariadb | mysql | lab) "setup_$part" ;;
        mariadb-tools) setup_mariadb_tools ;;
        *) echo "setup: '$part' is not one of ops, dev, mariadb, mariadb-tools, mysql, lab" >&2; exit 2 ;;
    esac
done
