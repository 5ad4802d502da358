#!/usr/bin/env bash
# Builds every system to compare with that can be built here into ${CARGO_TARGET_DIR:-target}/rivals, and says what it skipped
# and why. Never fails for one that is missing. With names of folders or of systems, only those. What a system needs beyond
# cargo is installed if this runs as root and there is apt; NO_INSTALL=1 leaves the machine as it is.
set -uo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
out=$target/rivals
mkdir -p "$out"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The systems of folder $1: its binaries, or the package itself where it names none.
systems() {
    local bins
    bins=$(sed -n '/^\[\[bin\]\]/,/^path/s/^name = "rival-\(.*\)"/\1/p' "$1/Cargo.toml")
    echo "${bins:-$1}"
}

# Says that no system of folder $1 can be measured, because of $2.
skip() {
    local system
    for system in $(systems "$1"); do
        echo "  skipped: $system ($2)"
        rm -f "$out/$system"
    done
}

# Ends with 0 if all is there that folder $1 needs beyond cargo, else says what is missing.
met() { [ ! -f "$1/needs" ] || (cd "$1" && bash ./needs 2>&1); }

# Installs what folder $1 would have from apt, if this machine is ours to change.
install_for() {
    [ -f "$1/packages" ] && [ "$(id -u)" = 0 ] && [ -z "${NO_INSTALL:-}" ] && command -v apt-get >/dev/null || return 1
    local packages
    packages=$(cd "$1" && bash ./packages) && [ -n "$packages" ] || return 1
    echo "  $1: installing" $packages
    # shellcheck disable=SC2086 # A list of packages, one word each.
    DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y -q --no-install-recommends $packages >"$log" 2>&1
}

build() {
    local folder=$1 why system
    if ! why=$(met "$folder") && ! { install_for "$folder" && why=$(met "$folder"); }; then
        skip "$folder" "${why:-something is missing}"
        return
    fi
    if (
        cd "$folder"
        # Variables for the compiler, where it needs some.
        if [ -f env ]; then set -a; . ./env; set +a; fi
        CARGO_TARGET_DIR=$target/rivals-build cargo build --release --locked --quiet
    ) >"$log" 2>&1; then
        for system in $(systems "$folder"); do
            # In its place at once, so that a run that has it open goes on with the old one.
            cp "$target/rivals-build/release/rival-$system" "$out/.$system" && mv "$out/.$system" "$out/$system" &&
                echo "  built: $system"
        done
    else
        skip "$folder" "$(grep -m 1 '^error' "$log" || tail -n 1 "$log")"
    fi
}

# The folder that $1 names, or that holds the system of this name.
folder_of() {
    [ -f "$1/Cargo.toml" ] && echo "$1" && return
    grep -l "^name = \"rival-$1\"$" ./*/Cargo.toml | sed 's|^\./\(.*\)/Cargo.toml$|\1|' | head -n 1
}

folders=(*/)
if [ $# -gt 0 ]; then
    folders=()
    for name in "$@"; do
        folder=$(folder_of "$name")
        if [ -n "$folder" ]; then folders+=("$folder/"); else echo "  skipped: $name (there is no such system in bench/rivals)"; fi
    done
fi
for folder in "${folders[@]}"; do build "${folder%/}"; done
exit 0
