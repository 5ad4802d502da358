#!/usr/bin/env bash
# Measures the works beside their floors and writes a record: bench/record/<cpu-model>-<n>cpu/<date>/<work>.jsonl, with the
# machine and the command lines beside it. `quick` runs everything shortly into a temporary folder: it tests the harness,
# and says nothing about speed. SECONDS_EACH=n: how long each work takes (10). Then slipring and the systems that
# bench/rivals/build.sh can build are compared, COMPARE_SECONDS=n for each in each row (1), and so is the Python package with
# those that bench/python/peers.sh can install; COMPARE=no leaves both out. What is missing for a comparison is said and no
# failure. At the end the results are written where they belong: the README and docs/COMPARE.md. On a terminal a bar tells how
# far it is and how much time is left.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-full}
seconds=${SECONDS_EACH:-10}
cargo build --release --quiet -p slipring-bench --bin slipring-bench
bench=${CARGO_TARGET_DIR:-target}/release/slipring-bench

if [ "$mode" = quick ]; then
    seconds=0.3
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
else
    model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 | tr -cs 'A-Za-z0-9\n' '-' | sed 's/-$//')
    folder=bench/record/${model:-unknown}-$(nproc)cpu/$(date -u +%Y-%m-%d)
    mkdir -p "$folder"
fi
# Real-time priority where it may be had, so that other processes of the machine do not run between two samples. On one CPU two
# sides that spin would then wait for each other for ever: neither lets the other run.
prefix=()
if [ "$(nproc)" != 1 ] && chrt -f 10 true 2>/dev/null; then prefix=(chrt -f 10); fi

{
    date -u +"date %Y-%m-%d %H:%M UTC"
    echo "kernel $(uname -r)"
    sed -n 's/^model name[^:]*: /cpu /p' /proc/cpuinfo | head -n 1
    echo "cpus $(nproc)"
    rustc --version
    echo "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
    echo "priority ${prefix[*]:-normal}"
} > "$folder/machine.txt"

# What all works cost, and those that are done, in measured seconds times rows. The works are gone through twice: planned, then
# measured.
planning=yes
planned=0
finished=0

# What a row of these arguments costs: each list in them multiplies it.
cost_of() {
    local rows=1 seconds=1 argument before=
    for argument in "$@"; do
        if [ "$before" = --seconds ]; then seconds=$argument; fi
        case $argument in *,*) rows=$((rows * $(tr ',' '\n' <<< "$argument" | wc -l))) ;; esac
        before=$argument
    done
    awk -v rows="$rows" -v seconds="$seconds" 'BEGIN { printf "%d", rows * seconds * 10 + 1 }'
}

# The bar, on a terminal; $1 is what comes next.
progress() {
    [ -t 2 ] || return 0
    local filled=$((finished * 32 / planned)) left="?" bar
    if [ "$finished" -gt 0 ]; then left=$((SECONDS * (planned - finished) / finished)); fi
    bar=$(printf '%*s' "$filled" '' | tr ' ' '=')
    printf '\r\033[K  [%-32s] %3d %%  %s s left  %.60s' "$bar" $((finished * 100 / planned)) "$left" "$1" >&2
}

# A row more each time this is called for the same work.
measure() {
    local work=$1 cost
    cost=$(cost_of "$@")
    if [ "$planning" = yes ]; then
        planned=$((planned + cost))
        return
    fi
    progress "$*"
    echo "slipring-bench $*" >> "$folder/machine.txt"
    "${prefix[@]}" "$bench" "$@" --json >> "$folder/$work.jsonl"
    finished=$((finished + cost))
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    echo "  $*: $(wc -l < "$folder/$work.jsonl") rows"
}

# At normal priority: clients that share a processor have it by turns, which real-time priority does away with.
measure_in_turns() {
    local prefix=()
    if [ "$planning" = no ]; then echo "priority normal:" >> "$folder/machine.txt"; fi
    measure "$@"
}

# Whether so many GiB are available for rows of such payloads.
has_memory() {
    local gib
    gib=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
    [ "$gib" -ge "$1" ] && return 0
    [ "$planning" = no ] || return 1
    echo "left out: payloads of $2 bytes, which need $1 GiB of memory; $gib GiB are available" | tee -a "$folder/machine.txt"
    return 1
}

# The time of a row, or so many seconds if that is longer.
at_least() {
    awk -v each="$seconds" -v least="$1" 'BEGIN { print (each > least) ? each : least }'
}

works() {
    measure floor --seconds "$seconds"
    measure rtt --payload 32 --wait spin,adaptive --api copy,claim --seconds "$seconds"
    measure rtt --payload 32 --wait park --seconds "$seconds"
    measure rtt --payload 32 --wait adaptive,park --gap-ns 10000000 --seconds "$seconds"
    measure rtt --payload 32 --wait spin,park --fence always --seconds "$seconds"
    measure rtt --payload 32 --wait spin --trust untrusted --seconds "$seconds"
    measure rtt --payload 32 --wait spin --counters on,off --seconds "$seconds"
    measure rpc --payload 32 --wait spin,adaptive,park --inflight 1 --seconds "$seconds"
    measure rpc --payload 32 --wait spin,adaptive --inflight 1,64 --seconds "$seconds"
    measure rpc --payload 32 --reply 65536 --wait spin --api claim --seconds "$seconds"
    measure stream --payload 32,64,256,1024 --api copy,claim --seconds "$seconds"
    measure stream --payload 32 --counters on,off --seconds "$seconds"
    measure stream --payload 4096 --inline 4096 --api copy,claim --seconds "$seconds"
    measure stream --payload 16384,262144,1048576 --api copy,claim --seconds "$seconds"
    measure stream --payload 16384 --api claim --hold 0,1000 --seconds "$seconds"
    measure wake --seconds "$seconds"
    measure connect --seconds "$seconds"
    measure rtt --shared --payload 268435456 --wait spin,adaptive,park --seconds "$seconds"
    measure stream --shared --payload 268435456 --seconds "$seconds"
    if [ "$mode" = quick ]; then
        measure_in_turns fanin --clients 2,8 --wait spin,adaptive,park --seconds "$seconds"
        measure_in_turns fanin --clients 1,8 --idle 100 --seconds "$seconds"
        measure_in_turns rtt --beside 10 --seconds "$seconds"
        measure_in_turns connect --clients 100 --seconds "$seconds"
        measure shared --payload 16777216 --readers 4 --seconds "$seconds"
        measure stream --payload 16777216 --api claim --seconds "$seconds"
        measure stream --fresh --payload 16777216 --api claim --seconds "$seconds"
        measure idle --seconds 2
        measure death --while park --seconds 1
    else
        measure_in_turns fanin --clients 2,8,64 --wait spin,adaptive,park --seconds "$seconds"
        measure_in_turns fanin --clients 1,8 --idle 1000 --processes 50 --seconds "$seconds"
        measure_in_turns rtt --beside 100 --seconds "$seconds"
        measure_in_turns connect --clients 1000 --seconds "$seconds"
        measure shared --payload 268435456 --readers 10 --seconds "$seconds"
        # Long payloads want memory: rows for which there is none are left out, and the record says so.
        measure stream --payload 16777216 --api claim --seconds "$seconds"
        measure stream --fresh --payload 1048576,16777216 --api claim --seconds "$seconds"
        if has_memory 4 268435456; then
            measure stream --payload 268435456 --api claim --seconds "$(at_least 10)"
            measure stream --fresh --payload 268435456 --api claim --seconds "$(at_least 10)"
        fi
        if has_memory 8 1073741824; then
            measure stream --payload 1073741824 --api claim --seconds "$(at_least 10)"
        fi
        if has_memory 12 1073741824; then
            measure stream --fresh --payload 1073741824 --api claim --seconds "$(at_least 10)"
        fi
        measure idle --seconds 60
        measure death --seconds 10
    fi
}

rm -rf "$folder"/*.jsonl "$folder"/compare*
works
planning=no
SECONDS=0
works

# Real-time priority by turns: another system may spin for ever on every processor, and what ends it must get one, too.
turns=()
if [ ${#prefix[@]} -gt 0 ]; then turns=(chrt -r 10); fi

# Systems that are not there, or do not work here, are no failure; damage is, and so is slipring itself when it fails.
compare() {
    local where=$1 code=0
    shift
    "${turns[@]}" "$bench" compare --record "$folder/$where" "$@" > "$folder/$where.txt" || code=$?
    local rows=$folder/$where/compare.jsonl
    if [ "$code" = 2 ] || [ "$code" = 3 ]; then exit "$code"; fi
    if [ "$(grep '"system":"slipring"' "$rows" | grep -cv '"status":"ok"')" != 0 ]; then
        echo "  compare $*: slipring failed"
        exit 4
    fi
    rm "$folder/$where.txt"
    echo "  compare $*: $(wc -l < "$rows") rows"
}

compare_in_turns() {
    local turns=()
    compare "$@"
}

# Writes what this record says into the README and docs/COMPARE.md.
results() {
    if [ "$mode" = quick ]; then return; fi
    if command -v python3 >/dev/null; then python3 bench/results.py; else echo "skipped: results in the README (no python3)"; fi
}

results
if [ "${COMPARE:-yes}" = no ]; then
    echo "record: $folder, without other systems"
    exit 0
fi
apart=rtt,rpc,stream,open-loop,wake,connect,memory,idle
together=one-cpu,crowded,fanin
if [ "$(nproc)" = 1 ]; then
    apart=connect,memory,idle
    together=one-cpu
    echo "left out: what needs two CPUs"
fi
if [ "$mode" = quick ]; then
    # One that needs nothing is enough to see that it works, and that is over soon.
    bench/rivals/build.sh unix-stream
    systems=slipring
    if [ -x "${bench%/release/*}/rivals/unix-stream" ]; then systems=slipring,unix-stream; fi
    compare compare --quick --systems "$systems" --works "$apart"
    compare_in_turns compare-in-turns --quick --systems "$systems" --works "$together"
else
    bench/rivals/build.sh
    compare compare --works "$apart" --seconds "${COMPARE_SECONDS:-1}"
    compare_in_turns compare-in-turns --works "$together" --seconds "${COMPARE_SECONDS:-1}"
fi
# slipring's Python package beside other ways for Python processes to talk.
if ci/python.sh build > "$folder/python.log" 2>&1 && [ -x .venv/bin/python ]; then
    if [ "$mode" = quick ]; then
        "${turns[@]}" .venv/bin/python bench/python/compare.py --quick --bench "$bench" > "$folder/python.txt"
        echo "  Python: $(wc -l < "$folder/python.txt") rows"
    else
        bench/python/peers.sh
        "${turns[@]}" .venv/bin/python bench/python/compare.py --record "$folder/python" --bench "$bench"
    fi
else
    echo "left out: the Python package ($(tail -n 1 "$folder/python.log"))"
fi
rm -f "$folder/python.log"
results
echo "record: $([ "$mode" = quick ] && echo 'none (quick)' || echo "$folder")"
