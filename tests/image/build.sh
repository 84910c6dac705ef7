#!/usr/bin/env bash
# Builds the image without Docker and runs the demo in it: `make image`, as root, on Debian.
#
# debootstrap makes a Debian root that stands in for the base image, buildah follows the Dockerfile on it,
# and `shoal demo --source files` runs in what comes out: as the image's user, on a read-only root, without
# capabilities and without a network. CUDA is the variant by default, since its wheels are on PyPI.
# Needs debootstrap, buildah, iproute2, about 25 GB in FOLDER and, the first time, half an hour.
set -euo pipefail
cd "$(dirname "$0")/../.."

FOLDER=${FOLDER:-/var/tmp/shoal-image}
VARIANT=${VARIANT:-cuda}
BASE=localhost/shoal-base
IMAGE=localhost/shoal:$VARIANT

mkdir -p "$FOLDER/tmp"
cat >"$FOLDER/storage.conf" <<END
[storage]
driver = "overlay"
runroot = "$FOLDER/run"
graphroot = "$FOLDER/storage"
END
export CONTAINERS_STORAGE_CONF=$FOLDER/storage.conf BUILDAH_ISOLATION=chroot TMPDIR=$FOLDER/tmp

base() {
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-dev,python3-venv \
        bookworm "$FOLDER/root"
    local container
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$FOLDER/root" /
    # A machine may have its own certificate authorities and pip settings.
    buildah config --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$container"
    buildah commit --quiet --rm "$container" "$BASE"
    rm -rf "$FOLDER/root"
}

build() {
    local mounts=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
    test ! -e /etc/pip.conf || mounts+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
    buildah bud --format docker --layers "${mounts[@]}" --tag "$IMAGE" \
        --build-arg PYTHON_IMAGE="$BASE" --build-arg VARIANT="$VARIANT" .
}

# Run a command of the image as Kubernetes would, with the environment that the image sets.
run() {
    local container root
    container=$(buildah from "$IMAGE")
    root=$(buildah mount "$container")
    mapfile -t environment < <(buildah inspect --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$container" | grep .)
    unshare --mount --net --pid --fork --kill-child bash -euc '
        root=$1; shift
        ip link set lo up
        mount --bind "$root" "$root"
        mount -o remount,bind,ro "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        mount -t tmpfs -o uid=10001,gid=10001 tmpfs "$root/data"
        exec chroot "$root" setpriv --reuid=10001 --regid=10001 --clear-groups \
            --bounding-set=-all --inh-caps=-all --no-new-privs env --chdir=/tmp -i "$@"
    ' - "$root" "${environment[@]}" "$@"
    buildah rm "$container" >/dev/null
}

buildah inspect --type image "$BASE" >/dev/null 2>&1 || base
build
run sh -c 'id; grep -E "CapBnd|NoNewPrivs" /proc/self/status; ! touch /opt/shoal/x; shoal demo --source files'
