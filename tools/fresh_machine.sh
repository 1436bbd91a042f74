#!/usr/bin/env bash
# Make a bare Debian (python3, venv and make, nothing else) and run `make demo` and `make test-fast`
# in it. This finds what a developer's machine hides, such as a library of CUDA that happens to be
# installed.
#
# Needs root, Linux, a Debian mirror and a package index. Where something is missing it says so and
# ends with 0; with FRESH_MACHINE=required it ends with 1 instead.
#
#   FRESH_SUITE    Debian release; the host's own if it is a Debian, else stable
#   FRESH_MIRROR   where Debian comes from; http://deb.debian.org/debian
#   FRESH_TARGETS  what is made; "demo test-fast"
#   FRESH_LIMIT_S  seconds for each of them; 1500
#
# pip in the bare system uses the host's package indexes: configuration files, PIP_* variables, and
# the local files and folders that these name come along.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() {
    echo "fresh machine: skipped: $1" >&2
    [ "${FRESH_MACHINE:-}" != required ] || exit 1
    exit 0
}

host_suite() {
    # shellcheck source=/dev/null
    (. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-stable}") 2>/dev/null || echo stable
}

suite=${FRESH_SUITE:-$(host_suite)}
mirror=${FRESH_MIRROR:-http://deb.debian.org/debian}
targets=${FRESH_TARGETS:-demo test-fast}
limit=${FRESH_LIMIT_S:-1500}

[ "$(uname -s)" = Linux ] || skip "this is not Linux"
[ "$(id -u)" = 0 ] || skip "debootstrap and chroot need root"
# In namespaces of their own, mounts and processes end with this script: what removes the bare system
# can never reach into a folder of the host.
apart=(unshare --mount --propagation private --pid --fork --kill-child)
"${apart[@]}" true 2>/dev/null || skip "this machine does not allow namespaces (${apart[*]})"

work=$(mktemp -d)
root=$work/root
trap 'rm -rf --one-file-system "$work"' EXIT

# debootstrap, from its package if it is not installed: nothing is installed on the host.
if ! command -v debootstrap >/dev/null; then
    command -v apt-get >/dev/null || skip "debootstrap is not installed, nor apt-get to fetch it"
    mkdir -p "$work/lists/partial" "$work/debootstrap"
    chmod 755 "$work"
    (
        cd "$work"
        lists=(-o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
        apt-get -qq "${lists[@]}" update && apt-get -qq "${lists[@]}" download debootstrap
        dpkg-deb -x debootstrap_*.deb debootstrap
    ) >"$work/apt.log" 2>&1 || true
    export DEBOOTSTRAP_DIR=$work/debootstrap/usr/share/debootstrap
    PATH=$PATH:$work/debootstrap/usr/sbin
    command -v debootstrap >/dev/null ||
        skip "debootstrap is not installed and cannot be fetched: $(tail -n 1 "$work/apt.log")"
fi

began=$SECONDS
debootstrap --variant=minbase --include=python3,python3-venv,make "$suite" "$root" "$mirror" \
    >"$work/debootstrap.log" 2>&1 ||
    skip "debootstrap cannot make Debian $suite from $mirror: $(tail -n 1 "$work/debootstrap.log")"
echo "fresh machine: Debian $suite in $((SECONDS - began)) s"

# Names and network as on the host.
for file in /etc/resolv.conf /etc/hosts; do
    [ ! -e "$file" ] || { rm -f "$root$file" && cat "$file" >"$root$file"; }
done

# pip's own files, the variables that reach it, and what both name on the local disk.
mapfile -t pip_files < <(python3 -m pip config debug 2>/dev/null |
    sed -n 's/^ *\(\/.*\), exists: True$/\1/p' | sort -u)
mapfile -t variables < <(env | grep -E \
    '^(PIP_[A-Z_]+|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|TORCH_INDEX_URL|([a-z]+|[A-Z]+)_(proxy|PROXY))=' || true)
mapfile -t local_paths < <(
    { python3 -m pip config list 2>/dev/null || true; printf '%s\n' "${variables[@]}"; } |
        sed -n "s/^[^=]*=//p" | tr -d "'\"" | sed 's/\\n/ /g' | tr ' ' '\n' |
        sed 's/^file:\/\///' | grep '^/' | sort -u || true
)
copied=("${pip_files[@]}")
bound=()
for path in "${local_paths[@]}"; do
    if [ -f "$path" ]; then
        copied+=("$path")
    elif [ -d "$path" ]; then
        # The pages of an index link to files beside it, so the folder above comes along.
        above=$(dirname "$path")
        if [ -e "$path/index.html" ] && [ "$above" != / ]; then path=$above; fi
        bound+=("$path")
    fi
done
for path in "${copied[@]}"; do
    mkdir -p "$root$(dirname "$path")"
    cp -L "$path" "$root$path"
done

# The project as it would be committed now, without .git.
mkdir -p "$root/project"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' name; do [ ! -e "$name" ] && [ ! -L "$name" ] || printf '%s\0' "$name"; done |
        tar --null --no-recursion -cf - -T - | tar -xf - -C "$root/project"
else
    tar -cf - --exclude=./.venv --exclude=./build --exclude=./dist . | tar -xf - -C "$root/project"
fi

cat >"$root/run.sh" <<'RUN'
set -euo pipefail
cd /project
for target in $TARGETS; do
    began=$SECONDS
    timeout "$LIMIT" make "$target" || { echo "fresh machine: make $target failed ($?)" >&2; exit 1; }
    echo "fresh machine: make $target in $((SECONDS - began)) s"
done
if [ -e .venv/bin/python ]; then
    .venv/bin/python - <<'PY'
try:
    from cuda.pathfinder import load_nvidia_dynamic_lib

    print("fresh machine: CUDA's runtime library is here:", load_nvidia_dynamic_lib("cudart").abs_path)
except Exception as error:
    print(f"fresh machine: no CUDA runtime library ({type(error).__name__}), as it should be")
PY
fi
RUN

export ROOT=$root
# shellcheck disable=SC2016 # expanded by the shell inside
"${apart[@]}" bash -euo pipefail -c '
    mount -t proc proc "$ROOT/proc"
    mount --rbind /dev "$ROOT/dev"
    mount --rbind /sys "$ROOT/sys"
    for path in "$@"; do
        [ -n "$path" ] || break
        mkdir -p "$ROOT$path"
        mount --bind "$path" "$ROOT$path"
        mount -o remount,bind,ro "$ROOT$path"
    done
    while [ -n "${1-}" ]; do shift; done
    shift
    exec chroot "$ROOT" env -i "$@" bash /run.sh
' bash "${bound[@]}" "" "${variables[@]}" \
    HOME="$HOME" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    TARGETS="$targets" LIMIT="$limit"
