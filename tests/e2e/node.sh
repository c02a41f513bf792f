#!/usr/bin/env bash
# One machine of the cluster: becomes PID 1 of its own namespaces, waits for its network, and serves ssh.
# node.sh LAB NAME ADDRESS
set -euo pipefail
lab=$1 name=$2 address=$3
mount --make-rprivate /
hostname "$name"
mount --bind "$lab/nodes/$name" "$lab/home"
mount --bind "$lab/etc" /etc
mount -t tmpfs -o size=256m tmpfs /run
mount -t tmpfs -o size=2g tmpfs /dev/shm
mkdir -p /tmp/ray /run/sshd
mount -t tmpfs -o size=2g tmpfs /tmp/ray
ip link set lo up
until ip link set "$name" up 2>/dev/null; do sleep 0.1; done
ip address add "$address/24" dev "$name"
exec "$(command -v sshd || echo /usr/sbin/sshd)" -D -e -f "$lab/sshd_config"
