# shellcheck shell=bash
# Sourced by the launch scripts: makes .venv in the checkout, once for each set of requirements.
# Direct dependencies are in requirements*.txt, with their versions; requirements.lock has the versions of all others. Both
# are what the tests ran with, so every machine gets the packages that were tested.

fail() {
    echo "launch: $1" >&2
    exit 1
}

# The tests ran with Python 3.11, and with 3.12 and the newest version of each package. 3.13 and 3.14 were tried too.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or later is needed; set PYTHON to its path."
}

# usage: environment local|gpu|tpu|test
# One environment for every kind of machine: jax with CUDA computes on a CPU too, so that each command that is written down
# with .venv/bin/python holds everywhere, and machines that share a checkout (a cluster's) share it too.
environment() {
    local name=$1 python stamp
    case $name in
        local) set -- -r requirements.txt ;;
        gpu) set -- -r requirements.txt "jax[cuda12]" ;; # the version is that of requirements.txt
        tpu) set -- -r requirements.txt "jax[tpu]" ;;
        test) set -- -r requirements.txt -r requirements-test.txt ;;
        *) fail "there is no environment for '$name'; it must be local, gpu, tpu or test." ;;
    esac
    cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
    stamp=".venv/.$name-$(cat requirements*.txt requirements.lock | cksum | tr ' ' -)"
    if [ ! -e "$stamp" ]; then
        python=$(find_python) || exit 1
        if [ ! -x .venv/bin/python ]; then
            "$python" -m venv .venv || fail "the virtual environment .venv could not be made (is the venv module installed?)."
        fi
        echo "launch: installing the requirements into .venv (once)" >&2
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock "$@" || fail "the requirements could not be installed."
        touch "$stamp"
    fi
}

# usage: main_job PLATFORM CONFIG WORKDIR flags... ; CONFIG holds where the flags name none, and with it WORKDIR.
main_job() {
    local platform=$1 config=$2 workdir=$3 argument
    shift 3
    for argument in "$@"; do
        case $argument in
            -h | --help* | -config | --config | -config=* | --config=*) config='' workdir='' ;; # its directory is runs/ and its name
            -workdir | --workdir | -workdir=* | --workdir=*) workdir='' ;;
        esac
    done
    [ -z "$workdir" ] || set -- "--workdir=$workdir" "$@"
    [ -z "$config" ] || set -- "--config=$config" "$@"
    JAX_PLATFORMS=$platform exec .venv/bin/python -m clusterlm_jax.main "$@"
}
