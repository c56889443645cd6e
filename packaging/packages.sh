# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034
#
# Read by quickstart, run-tests and packaging/build-deb: Debian packages, and how to get them.

build_packages="gcc libc6-dev cmake ninja-build pkg-config libseccomp-dev libapparmor-dev libcap-dev
        libnl-3-dev libnl-route-3-dev libsystemd-dev libarchive-dev libisal-dev nettle-dev
        libnftables-dev libnftnl-dev libmnl-dev libbpf-dev libsqlite3-dev libjson-c-dev"

# What a stack is made with, and what looks at a running dynod.
stack_packages="mmdebstrap zstd ca-certificates iproute2 nftables python3"

test_packages="$stack_packages clang-14 llvm-14 clang-tidy-14 clang-tools-14 clang-format-14
        libclang-rt-14-dev cppcheck codespell shellcheck mandoc libcmocka-dev python3-pytest
        dpkg-dev lintian procps iptables nmap xz-utils qemu-system-x86 qemu-utils e2fsprogs apparmor bash-completion stress-ng systemd"

# install_packages NAME...: what is missing of them. Asks nothing. Without root it only
# says what is missing.
install_packages() {
        missing=
        for package; do
                if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
                        missing="$missing $package"
                fi
        done
        [ -n "$missing" ] || return 0
        if [ "$(id -u)" != 0 ]; then
                echo "These packages are missing, and only root can install them:$missing" >&2
                return 1
        fi
        echo "Installing:$missing"
        apt-get -qq update
        # shellcheck disable=SC2086 # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing >/dev/null
}
