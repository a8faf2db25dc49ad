#!/usr/bin/env bash
# A Cloud TPU, from your own machine: makes it, sends this checkout, runs launch/tpu.sh there on every host, brings the
# results back, deletes it. A TPU VM bills from create to delete.
# ./launch/tpu_vm.sh create|push|setup|run|fetch|delete --name=NAME --zone=ZONE [--dry-run] ...
#   create  --type=v4-8 --version=IMAGE [--spot] [--queued], which waits in Google's queue until there is a machine
#   push    sends the checkout; with --workdir=DIR also this directory, so that another machine goes on with its run
#   setup   installs what is needed
#   run     [--config=FILE] [--workdir=DIR] [--config.KEY=VALUE ...]; follows the log. It goes on when you stop following, or
#           the connection breaks; run again follows it again, and once it has ended goes on from what is finished
#   fetch   --workdir=DIR: brings it here; what was there before is kept as DIR.before
#   delete  what create made under this name, and nothing else
# --project=ID is asked for where gcloud has none. TPU_NAME, TPU_ZONE, TPU_TYPE, TPU_VERSION and TPU_PROJECT do as the flags.
# --dry-run only prints the commands.
set -eu
source "$(dirname "$0")/environment.sh"
cd "$(dirname "$0")/.."
LABEL=clusterlm_jax # `launcher` of what create made, so that delete knows it
THERE=clusterlm_jax # the checkout, in the home directory of each host
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
exec 3>&1 # where a dry run prints, also inside $(...)

# --------------------------------------------------------------------------------------------------------------- flags
verb=${1:-}
case $verb in
    create | push | setup | run | fetch | delete) shift ;;
    *) fail "the first word is '$verb'; it must be create, push, setup, run, fetch or delete." ;;
esac
name=${TPU_NAME:-} zone=${TPU_ZONE:-} type=${TPU_TYPE:-} version=${TPU_VERSION:-} project=${TPU_PROJECT:-}
workdir='' dry='' spot='' queued='' flags=()
for argument in "$@"; do
    value=${argument#*=}
    case $argument in
        --name=*) name=$value ;;
        --zone=*) zone=$value ;;
        --type=*) type=$value ;;
        --version=*) version=$value ;;
        --project=*) project=$value ;;
        --spot) spot=yes ;;
        --queued) queued=yes ;;
        --dry-run) dry=yes ;;
        *)
            case $verb$argument in
                push--workdir=* | fetch--workdir=*) workdir=${value%/} ;;
                run*) flags+=("$argument") ;;
                *) fail "what is $argument? ./launch/tpu_vm.sh $verb does not know it; the first lines of the script say what it takes." ;;
            esac
            ;;
    esac
done
for given in name zone; do
    [ -n "${!given}" ] || fail "--$given is missing; give --$given=... or set TPU_$(echo $given | tr '[:lower:]' '[:upper:]')."
done
case $workdir in
    /* | *..* | .) fail "--workdir is $workdir; it must be a directory inside the checkout, such as runs/synthetic." ;;
esac

# -------------------------------------------------------------------------------------------------------------- gcloud
# usage: tpus tpu-vm|queued-resources ACTION arguments...
tpus() {
    set -- compute tpus "$@" --zone="$zone" ${project:+--project="$project"}
    if [ -n "$dry" ]; then
        printf 'gcloud%s\n' "$(printf ' %q' "$@")" >&3
    else
        gcloud "$@"
    fi
}

on_every_host() { tpus tpu-vm ssh "$name" --worker=all --command="$1"; }

# To standard error, but not in a dry run.
say() { [ -n "$dry" ] || echo "launch: $1" >&2; }

# --------------------------------------------------------------------------------------------------------------- verbs
delete_it="./launch/tpu_vm.sh delete --name=$name --zone=$zone"

create() {
    [ -n "$type" ] || fail "--type is missing; 'gcloud compute tpus accelerator-types list --zone=$zone' has them."
    [ -n "$version" ] || fail "--version is missing; 'gcloud compute tpus versions list --zone=$zone' has the images."
    set -- --accelerator-type="$type" --labels=launcher=$LABEL ${spot:+--spot}
    if [ -n "$queued" ]; then
        set -- queued-resources create "$name" --node-id="$name" --runtime-version="$version" "$@"
    else
        set -- tpu-vm create "$name" --version="$version" "$@"
    fi
    tpus "$@" || fail "gcloud could not make $name; if a part of it is there, it bills: $delete_it"
    [ -z "$queued" ] || wait_in_queue
    say "$name bills from now on, until $delete_it"
}

wait_in_queue() {
    local state=''
    until [ "$state" = ACTIVE ]; do
        state=$(tpus queued-resources describe "$name" --format="value(state.state)") ||
            fail "gcloud does not say how far $name is; it is still in the queue, and bills once it has its turn: $delete_it"
        [ -z "$dry" ] || return 0
        say "$name is $state in the queue"
        case $state in
            ACTIVE) ;;
            FAILED | SUSPEND*) fail "Google could not give $name; try again after $delete_it" ;;
            *) sleep 60 ;;
        esac
    done
}

# COPYFILE_DISABLE: a Mac's tar would add a file of its own beside each.
pack() { COPYFILE_DISABLE=1 tar -czf "$scratch/$1" "${@:2}"; }

push() {
    [ -z "$workdir" ] || [ -d "$workdir" ] || fail "there is no directory $workdir here to send."
    pack checkout.tar.gz --exclude=./.git --exclude=./.venv --exclude=./runs .
    tpus tpu-vm scp "$scratch/checkout.tar.gz" "$name:$THERE.tar.gz" --worker=all
    on_every_host "mkdir -p $THERE && tar -xzf $THERE.tar.gz -C $THERE"
    [ -n "$workdir" ] || return 0
    pack run.tar.gz "$workdir"
    tpus tpu-vm scp "$scratch/run.tar.gz" "$name:$THERE.run.tar.gz" --worker=all
    # What is there already may be further than ours.
    on_every_host "cd $THERE || exit
if [ -e $(printf %q "$workdir") ]; then
    echo 'launch: the machine has this work directory already, and keeps it' >&2
    exit 1
fi
tar -xzf ../$THERE.run.tar.gz"
}

# Some images have only Python 3.10, or no venv module. A new machine's own upgrades hold the lock of its packages for minutes.
setup() {
    on_every_host "cd $THERE || exit
apt() { sudo apt-get --quiet --option DPkg::Lock::Timeout=600 \"\$@\"; }
set_up() { ./launch/tpu.sh --help > setup.log 2>&1; }
set_up || { apt update && { apt install --yes python3.11-venv || apt install --yes python3-venv; } && set_up; } ||
    { cat setup.log >&2; exit 1; }"
}

# The job has a session of its own, so that it outlives the connection, and holds a lock as long as it runs.
run() {
    local code=0 job
    job=$(printf ' %q' ./launch/tpu.sh ${flags[@]+"${flags[@]}"})
    on_every_host "cd $THERE || exit
exec 9>run.lock
if flock --nonblock 9; then
    rm -f run.code
    setsid nohup bash -c '\"\$@\"; echo \$? > run.code' run$job >> run.log 2>&1 < /dev/null &
else
    echo 'launch: a job runs already; this is its log' >&2
fi
exec 9>&-
tail -n 40 -F run.log 2> /dev/null &
flock run.lock sleep 1
kill \$!
exit \$(cat run.code)" || code=$?
    say "$name still bills: fetch what you need, then $delete_it"
    exit $code
}

# One host writes the results. A run may go on meanwhile: tar's code 1 is that a file changed while it was read.
fetch() {
    [ -n "$workdir" ] || fail "--workdir is missing; give the directory to bring here, such as runs/synthetic."
    tpus tpu-vm ssh "$name" --worker=0 --command="cd $THERE && { tar -czf ../$THERE.run.tar.gz $(printf %q "$workdir") || [ \$? = 1 ]; }"
    tpus tpu-vm scp "$name:$THERE.run.tar.gz" "$scratch/run.tar.gz" --worker=0
    [ -z "$dry" ] || return 0
    # Beside its place, so that the last step is a rename.
    rm -rf "$workdir.new"
    mkdir -p "$workdir.new"
    tar -xzf "$scratch/run.tar.gz" -C "$workdir.new"
    if [ -e "$workdir" ]; then
        rm -rf "$workdir.before"
        mv "$workdir" "$workdir.before"
    fi
    mv "$workdir.new/$workdir" "$workdir"
    rm -rf "$workdir.new"
}

delete() {
    local made labels
    for made in queued-resources tpu-vm; do
        labels=labels
        [ $made = tpu-vm ] || labels="tpu.nodeSpec[0].node.labels"
        if [ "$(tpus $made describe "$name" --format="value($labels.launcher)" 2>> "$scratch/gcloud")" = $LABEL ] || [ -n "$dry" ]; then
            set -- delete "$name" --quiet
            [ $made = tpu-vm ] || set -- "$@" --force # with its machine
            tpus $made "$@" || fail "gcloud could not delete $name: it may still bill; try again."
            say "$name is deleted"
            [ -n "$dry" ] || return 0
        fi
    done
    [ -n "$dry" ] || {
        cat "$scratch/gcloud" >&2
        fail "there is no machine $name in $zone that create made; nothing is deleted."
    }
}

$verb
