#!/bin/sh
# Installs narrows, or brings it up to date: for the whole machine if root runs it, else for you alone.
#
#     sh install.sh [--from PLACE] [--dry-run]
#     sh install.sh --remove [--dry-run]
#
#     --from PLACE   the URL or the folder with the files of a release; without it, where they were
#                    published, or the folder of this script
#     --dry-run      only say what would be done
#     --remove       remove the program and the service; configuration and state stay
#
# It says what it does, checks the download against SHA256SUMS, and changes nothing but the files
# that it names. A running service is handed over to the new version: no stream is cut.
set -eu

# packaging/build enters both.
version=
from=

dry_run=
remove=
unit=narrows.service
units=/etc/systemd/system

main() {
    parse "$@"
    if [ "$(uname -s)" != Linux ]; then
        fail 'narrows runs on Linux only'
    fi
    for_machine=
    if [ "$(id -u)" = 0 ]; then
        for_machine=yes
        programs=/usr/local/bin
        configuration=/etc/narrows/narrows.toml
    else
        programs=$HOME/.local/bin
        configuration=${XDG_CONFIG_HOME:-$HOME/.config}/narrows/narrows.toml
    fi
    package_manager=$(find_package)
    if [ -n "$package_manager" ]; then
        refuse_beside_package
    fi
    if [ -n "$dry_run" ]; then
        say 'Nothing is changed; without --dry-run this is what would be done:'
    fi
    if [ -n "$remove" ]; then
        remove_all
    else
        install_all
    fi
}

parse() {
    while [ $# != 0 ]; do
        case $1 in
        --from)
            [ $# -gt 1 ] || fail '--from needs a URL or a folder'
            from=${2%/}
            shift
            ;;
        --dry-run) dry_run=yes ;;
        --remove) remove=yes ;;
        --help)
            echo 'sh install.sh [--from PLACE] [--dry-run] [--remove]'
            exit 0
            ;;
        *) fail "unknown argument: $1" ;;
        esac
        shift
    done
}

# What a package of narrows is managed with, if there is one.
find_package() {
    if [ -z "$for_machine" ]; then
        return
    fi
    if dpkg-query --show --showformat='${db:Status-Abbrev}' narrows 2> /dev/null | grep -q '^.i'; then
        echo 'dpkg or apt'
    elif rpm --query narrows > /dev/null 2>&1; then
        echo 'rpm or dnf'
    fi
}

# The package manager would not know about our files, and the other way round. But those that were
# here before the package can be removed: they are used in place of its own.
refuse_beside_package() {
    if [ -z "$remove" ] || [ ! -e "$programs/narrows" ]; then
        fail "narrows is installed as a package; upgrade or remove it with $package_manager"
    fi
}

install_all() {
    if [ -z "$from" ]; then
        find_files
    fi
    machine=$(architecture) # By itself: a failure in it ends the script.
    folder=narrows-$version-$machine-linux-$(library)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    say "narrows $version, from $from:"
    run download SHA256SUMS
    run download "$folder.tar.gz"
    run verify "$folder.tar.gz"
    run unpack "$folder.tar.gz"

    # A running program cannot be written to, but another can take its name.
    run mkdir -p "$programs" "${configuration%/*}"
    run install -m 755 narrows "$programs/narrows.new"
    run mv -f "$programs/narrows.new" "$programs/narrows"
    if [ -n "$for_machine" ]; then
        add_user
    fi
    if [ ! -e "$configuration" ]; then
        run install -m 640 narrows.toml "$configuration"
        if [ -n "$for_machine" ]; then
            run chgrp narrows "${configuration%/*}" "$configuration"
            run chmod 750 "${configuration%/*}"
        fi
    fi
    if [ -n "$for_machine" ] && has_systemd; then
        install_service
    else
        say_how_to_run
    fi
}

# The files of a release beside this script. From a pipe, $0 is the shell.
find_files() {
    from=.
    case $0 in
    */*) from=${0%/*} ;;
    esac
    if [ ! -f "$0" ] || [ ! -f "$from/SHA256SUMS" ]; then
        fail 'where from? --from URL or folder, which is . if SHA256SUMS and the archive are here'
    fi
}

add_user() {
    if id narrows > /dev/null 2>&1; then
        return
    fi
    if command -v useradd > /dev/null; then
        run useradd --system --user-group --home-dir /var/lib/narrows --no-create-home \
            --shell /usr/sbin/nologin narrows
    else
        run adduser -S -D -H -h /var/lib/narrows -s /sbin/nologin narrows # BusyBox
        run addgroup -S narrows
    fi
}

install_service() {
    run install -m 644 narrows.service narrows.socket $units
    run systemctl daemon-reload
    if systemctl is-active --quiet $unit; then
        run systemctl kill --kill-who=main --signal=USR2 $unit
        say "The running service hands over to the new version; its log: journalctl -u narrows"
        return
    fi
    if [ -L /run/narrows ] && [ ! -e /run/narrows ]; then
        run rm -f /run/narrows # From an older unit: systemd would not start the service.
    fi
    run systemctl enable --now $unit
    say "narrows serves http://127.0.0.1:8080/gpt/ on this machine, unless you have configured it."
    say "To change that: edit $configuration, then systemctl reload narrows"
}

say_how_to_run() {
    say "To run it: $programs/narrows run --config $configuration"
    case :$PATH: in
    *:"$programs":*) ;;
    *) say "$programs is not in your PATH." ;;
    esac
}

remove_all() {
    if [ -n "$package_manager" ]; then
        leave_to_package
        return
    fi
    if [ -n "$for_machine" ] && has_systemd && [ -e $units/$unit ]; then
        run systemctl disable --now narrows.socket $unit
    fi
    if [ -n "$for_machine" ]; then
        run rm -f $units/$unit $units/narrows.socket
        if has_systemd; then
            run systemctl daemon-reload
        fi
    fi
    run rm -f "$programs/narrows"
    say "These stay, if they are there: $configuration, and the state, such as certificates."
}

# The service goes on with the program and the units of the package. A hand-over would start the
# same program file again, so this is a restart.
leave_to_package() {
    run rm -f "$programs/narrows" $units/$unit $units/narrows.socket
    if ! has_systemd; then
        return
    fi
    run systemctl daemon-reload
    for each in "$unit" narrows.socket; do
        if systemctl is-enabled --quiet "$each"; then
            run systemctl reenable "$each" # It was a link to our file.
        fi
    done
    if systemctl is-active --quiet $unit; then
        run systemctl restart $unit
    fi
    say "What is left is of the package: upgrade or remove it with $package_manager"
}

has_systemd() {
    [ -d /run/systemd/system ]
}

architecture() {
    case $(uname -m) in
    x86_64 | amd64) echo x86_64 ;;
    aarch64 | arm64) echo aarch64 ;;
    *) fail "there is no build for $(uname -m)" ;;
    esac
}

# gnu where there is a glibc of 2.17 or newer, static on all others.
library() {
    found=$(getconf GNU_LIBC_VERSION 2> /dev/null || true)
    minor=${found#glibc 2.}
    case $minor in
    '' | *[!0-9]*) echo static ;;
    *) if [ "$minor" -ge 17 ]; then echo gnu; else echo static; fi ;;
    esac
}

download() {
    case $from in
    http://*) fail "$from: only https:// or a folder" ;;
    https://*)
        if command -v curl > /dev/null; then
            curl -fsSL --proto '=https' --output "$scratch/$1" "$from/$1"
        else
            wget -q -O "$scratch/$1" "$from/$1"
        fi
        ;;
    *) cp "$from/$1" "$scratch/$1" ;;
    esac || fail "cannot read $from/$1"
}

# An archive has the sum that SHA256SUMS names.
verify() {
    sum=$(sed -n "s/^\([0-9a-f]\{64\}\)  $1\$/\1/p" "$scratch/SHA256SUMS")
    [ -n "$sum" ] || fail "SHA256SUMS does not have $1"
    echo "$sum  $scratch/$1" | sha256sum -c - > /dev/null 2>&1 ||
        fail "$1 does not have the sum in SHA256SUMS; nothing was installed"
}

unpack() {
    tar -xzf "$scratch/$1" -C "$scratch"
    cd "$scratch/${1%.tar.gz}"
}

# Says what it does, and does it.
run() {
    echo "  $*"
    if [ -z "$dry_run" ]; then
        "$@"
    fi
}

say() {
    echo "$*"
}

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

main "$@"
