# Steps, their counts and the last line: shared by tests/all and .ci/run.
#
# A script sources this file, runs its steps with `step` (counts as one) or
# `tests` (counts every test it ran), and ends with `finish`. A failing step
# never stops the script: it is repeated by `finish`, before the last line.
# shellcheck shell=bash

set -u -o pipefail

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
[ -z "${CARGO_TARGET_DIR:-}" ] || CARGO_TARGET_DIR=$(realpath -m -- "$CARGO_TARGET_DIR")
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
cd -- "$ROOT" || exit 1

# Counting reads plain text; a coloured log would hide every count.
export CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never
if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi

PASSED=0
FAILED=0
IGNORED=0
STEPS=()        # "passed failed seconds name", in the order they ran
BROKEN=()       # "name<TAB>log" of each step that failed
LOGS=           # where this script's logs go: set by `begin`
CHILD=          # the process of the running step

# begin NAME: names the script, empties its log folder.
begin() {
    LOGS="$TARGET/ci/$1"
    rm -rf -- "$LOGS"
    mkdir -p -- "$LOGS" || exit 1
    trap 'interrupted' INT TERM HUP
}

say() { printf '\n== %s\n' "$*"; }

interrupted() {
    trap '' INT TERM HUP
    [ -z "$CHILD" ] || kill -TERM "$CHILD" 2>/dev/null
    note "interrupted" 0 1 0 ""
    finish
}

# watched LOG LIMIT COMMAND..: runs it without standard input and for at most
# LIMIT, in a process group of its own; its output goes to LOG and is shown
# while it runs. Gives back its exit code; 124 means that the limit was hit.
watched() {
    local log=$1 limit=$2 code shown
    shift 2
    : >"$log"
    timeout --kill-after=10s "$limit" "$@" >"$log" 2>&1 </dev/null &
    CHILD=$!
    tail --lines=+1 --follow --sleep-interval=0.2 --pid="$CHILD" -- "$log" &
    shown=$!
    wait "$CHILD"
    code=$?
    CHILD=
    wait "$shown"
    [ "$code" -ne 124 ] || echo "stopped: it ran longer than $limit" | tee -a "$log"
    return "$code"
}

# note NAME PASSED FAILED SECONDS LOG: books the outcome of one step.
note() {
    PASSED=$((PASSED + $2))
    FAILED=$((FAILED + $3))
    STEPS+=("$2 $3 $4 $1")
    [ "$3" -eq 0 ] || BROKEN+=("$1"$'\t'"$5")
}

log_of() { printf '%s/%02d-%s.log' "$LOGS" "${#STEPS[@]}" "$(tr -cs 'a-zA-Z0-9' '-' <<<"$1" | sed 's/-*$//')"; }

# step NAME LIMIT COMMAND..: one check; passes when the command exits with 0.
step() {
    local name=$1 limit=$2 log start=$SECONDS
    shift 2
    log=$(log_of "$name")
    say "$name: $*"
    if watched "$log" "$limit" "$@"; then
        note "$name" 1 0 $((SECONDS - start)) "$log"
    else
        note "$name" 0 1 $((SECONDS - start)) "$log"
    fi
}

# tests NAME LIMIT COMMAND..: a `cargo test`; counts what its binaries report.
#
# A binary that ended without its result (it crashed, hung or left early) counts
# as one failure, so does a command that failed with no failed test to blame (it
# did not build), and so does one that ran no test at all.
tests() {
    local name=$1 limit=$2 log start=$SECONDS code=0 ok bad skipped mute
    shift 2
    log=$(log_of "$name")
    say "$name: $*"
    watched "$log" "$limit" "$@" || code=$?
    read -r ok bad skipped mute < <(count_tests "$log")
    if [ "$mute" -gt 0 ]; then
        echo "error: no result from $mute of the test binaries above" | tee -a "$log"
        bad=$((bad + mute))
    elif [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
    elif [ $((ok + bad)) -eq 0 ]; then
        echo "error: no test ran" | tee -a "$log"
        bad=1
    fi
    IGNORED=$((IGNORED + skipped))
    note "$name" "$ok" "$bad" $((SECONDS - start)) "$log"
}

# count_tests LOG: "passed failed ignored mute". Mute are the binaries without a
# result: begun and not ended, or listed by cargo as failed beyond those that
# said so. What a failed test printed is shown again by its binary: not counted.
count_tests() {
    awk '
        /^---- .* stdout ----$/ { echoed = 1 }
        /^failures:$/ { echoed = 0 }
        echoed { next }
        /^running [0-9]+ tests?$/ { begun++ }
        /^test result: (ok|FAILED)\. [0-9]+ passed; .* finished in [0-9.]+s$/ {
            ok += $4; bad += $6; skipped += $8
            ended++
            if ($3 == "FAILED.") told++
        }
        /^error: [0-9]+ targets? failed:$/ { listing = 1; next }
        listing && /^    `/ { listed++; next }
        { listing = 0 }
        END {
            mute = begun - ended
            if (listed - told > mute) mute = listed - told
            print ok + 0, bad + 0, skipped + 0, mute + 0
        }
    ' "$1"
}

# excerpt LOG: the part of a failed step's log worth a second look.
excerpt() {
    if [ ! -s "$1" ]; then
        echo "(it printed nothing)"
    elif grep -q '^== failures$' "$1"; then
        sed -n '/^== failures$/,$p' "$1" | sed 1d
    elif grep -q '^failures:$' "$1"; then
        awk '/^failures:$/ { on = 1 } on { print } /^test result: FAILED/ { on = 0 }' "$1" | head -n 200
        sed -n '/^error: [0-9]* targets* failed:$/,$p' "$1"
    elif grep -q '^error' "$1"; then
        grep -A 12 '^error' "$1" | head -n 80
    else
        tail -n 120 -- "$1"
    fi
}

# finish: the table of steps, the failures again, and the last line. Exits.
finish() {
    local row ok bad seconds name log
    say "steps"
    for row in "${STEPS[@]}"; do
        read -r ok bad seconds name <<<"$row"
        printf '%6d passed %4d failed %5d s  %s\n' "$ok" "$bad" "$seconds" "$name"
    done
    if [ "${#BROKEN[@]}" -gt 0 ]; then
        say "failures"
        for row in "${BROKEN[@]}"; do
            IFS=$'\t' read -r name log <<<"$row"
            printf -- '-- %s%s\n' "$name" "${log:+ (all of it: $log)}"
            [ -z "$log" ] || excerpt "$log" | sed 's/^/   /'
        done
    fi
    printf '\n%d passed, %d failed\n' "$PASSED" "$FAILED"
    [ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
    exit
}
