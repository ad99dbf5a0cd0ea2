#!/bin/sh
# systemd.sh UNITS CGROUP: a systemd of its own as the first process of a name space, with the unit
# files of a folder and nothing else, below a cgroup of its own. Runs until it is killed; whoever ends
# it removes the cgroup. Needs root, in the lab.
set -eu
if [ "${3-}" != inside ]; then
  mkdir "$2"
  echo $$ >"$2/cgroup.procs"
  exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --cgroup \
    --propagation private "$0" "$1" "$2" inside
fi
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/systemd
mount -t tmpfs -o mode=755 tmpfs /sys/fs
mkdir /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for name in sysinit basic shutdown sockets network nss-user-lookup multi-user; do
  printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$name" >"$1/$name.target"
done
exec env -i PATH="$PATH" SYSTEMD_UNIT_PATH="$1" container=other /lib/systemd/systemd --system \
  --unit=multi-user.target --show-status=0 --log-target=console
