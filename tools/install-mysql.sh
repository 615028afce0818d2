#!/bin/bash
# Puts a MySQL server into .servers/mysql/ without installing anything on this machine.
#
# Debian's stable releases and Ubuntu disagree about which MySQL they carry, if any; Debian "sid" always has the newest
# one. Its packages are fetched by this machine's own apt (so its proxies apply, and the archive's signature is checked)
# into a private directory, unpacked there with everything they depend on down to libc, and run through their own
# dynamic loader. Where that archive cannot be verified, the release's own MySQL is unpacked the same way. The result is
# one program, .servers/mysql/bin/mysqld, that works on any Linux of the same architecture.
#
# Settings: REPLCLUS_DEBIAN_MIRROR (default http://deb.debian.org/debian), REPLCLUS_MYSQL_DIR (default .servers/mysql).
set -euo pipefail
cd "$(dirname "$0")/.."

mirror=${REPLCLUS_DEBIAN_MIRROR:-http://deb.debian.org/debian}
target=${REPLCLUS_MYSQL_DIR:-.servers/mysql}
mkdir -p "$target"
target=$(cd "$target" && pwd)
[[ -x $target/bin/mysqlbinlog ]] && exit 0

# One program for each of the server and its tools in $1/bin, which runs the one in $1/root by the loader that came with it.
write_programs() {
    local loader libraries= directory triplet program options
    loader=$(cd "$1/root" && find . -name 'ld-linux*.so.*' | head -n 1)
    for directory in lib usr/lib; do
        for triplet in "$1/root/$directory"/*-linux-gnu*/; do
            [[ -d $triplet ]] && libraries+=\$root/$directory/$(basename "$triplet"):
        done
    done
    [[ -n $loader && -x $1/root/usr/sbin/mysqld ]] || return 1
    mkdir -p "$1/bin"
    for program in sbin/mysqld bin/mysql bin/mysqladmin bin/mysqlbinlog bin/mysqldump; do
        [[ -x $1/root/usr/$program ]] || continue
        options=
        if [[ $program == sbin/mysqld ]]; then
            # Last on the line, because --defaults-file and --no-defaults count only as the first argument.
            options='--basedir="$root/usr" --plugin-dir="$root/usr/lib/mysql/plugin"'
            options+=' --lc-messages-dir="$root/usr/share/mysql" --character-sets-dir="$root/usr/share/mysql/charsets"'
        fi
        cat >"$1/bin/.new" <<WRAPPER
#!/bin/sh
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")/root
exec "\$root/${loader#./}" --library-path "${libraries%:}" "\$root/usr/$program" "\$@" $options
WRAPPER
        chmod 755 "$1/bin/.new"
        mv "$1/bin/.new" "$1/bin/$(basename "$program")"
    done
}

exec 9>"$target/.lock"
flock 9
[[ -x $target/bin/mysqlbinlog ]] && exit 0
# An earlier version of this script made fewer programs.
[[ -x $target/bin/mysqld ]] && write_programs "$target" && exit 0

work=$target/.unfinished
rm -rf "$work"
mkdir -p "$work"/{root,apt/lists/partial,apt/cache/archives/partial}
log=$work/log

fail() {
    echo "make mysql: $1 (the end of $log follows)" >&2
    tail -n 15 "$log" >&2
    echo "make mysql: another way is to set REPLCLUS_MYSQLD to a mysqld of MySQL 8.0 or newer" >&2
    exit 1
}

keyring=
for candidate in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
    [[ -e $candidate ]] && keyring=$candidate && break
done
if [[ -z $keyring ]]; then
    echo "make mysql: package debian-archive-keyring is missing: run 'make mysql', as root or with sudo" >&2
    exit 1
fi

# An empty status file makes apt believe that nothing is installed, so that it fetches every dependency. Lists that say they
# have expired are taken: a mirror that lags behind still serves signed packages, and nothing here needs today's.
: >"$work/apt/status"
echo "deb [signed-by=$keyring] $mirror sid main" >"$work/apt/sources.list"
private_apt() {
    apt-get -qq \
        -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$work/apt" -o Dir::State::Lists="$work/apt/lists" -o Dir::State::Status="$work/apt/status" \
        -o Dir::Cache="$work/apt/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root \
        -o APT::Default-Release= -o APT::Get::AllowUnauthenticated=false -o Debug::NoLocking=true \
        -o Acquire::Retries=3 -o Acquire::Check-Valid-Until=false \
        -o APT::Update::Post-Invoke=/bin/true -o APT::Update::Post-Invoke-Success=/bin/true \
        "$@" </dev/null >>"$log" 2>&1
}
fetch() {
    private_apt "${source[@]}" install --yes --download-only --no-install-recommends "$1" "${1/server/client}"
}

echo "make mysql: fetching MySQL from Debian sid"
source=()
if private_apt update && ! grep -q '^[EW]:' "$log"; then
    fetch mysql-server-core || fail "apt could not fetch mysql-server-core"
elif grep -q NO_PUBKEY "$log"; then
    # An older Ubuntu knows Debian's keys of its own day only. But an Ubuntu has a MySQL of its own; the lists that the
    # machine has already are used for it.
    source=(-o Dir::Etc::SourceList=/etc/apt/sources.list -o Dir::Etc::SourceParts=/etc/apt/sources.list.d
        -o Dir::State=/var/lib/apt -o Dir::State::Lists=/var/lib/apt/lists -o Dir::State::Status="$work/apt/status")
    own=$(apt-cache search --names-only '^mysql-server-core(-[0-9.]+)?$' | cut -d ' ' -f 1 | sort -V | tail -n 1)
    [[ -n $own ]] || fail "the keys in $keyring are too old for Debian sid"
    echo "make mysql: Debian's keys are too old here; fetching this release's own $own instead"
    fetch "$own" || fail "apt could not fetch $own"
else
    fail "apt could not read the package lists of $mirror"
fi

echo "make mysql: unpacking"
for package in "$work"/apt/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" |
        tar -x -C "$work/root" --no-same-owner --keep-directory-symlink --delay-directory-restore \
            --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' \
            --exclude='./var' --exclude='./dev' 2>>"$log" || fail "could not unpack $(basename "$package")"
done
rm -rf "$work/apt"

write_programs "$work" || fail "the packages hold no mysqld"
"$work/bin/mysqld" --version >>"$log" 2>&1 || fail "the unpacked mysqld does not run"

rm -rf "$target/root" "$target/bin"
mv "$work/root" "$target/root"
mv "$work/bin" "$target/bin"
rm -rf "$work"
echo "make mysql: $("$target/bin/mysqld" --version | sed 's/.*Ver /MySQL /')"
