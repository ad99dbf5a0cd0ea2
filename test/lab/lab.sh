#!/bin/bash
# lab.sh CMD [ARGS…]: runs CMD as root in namespaces of its own, so that accounts, PAM stacks, ports
# and files can be changed without a trace on the machine.
#
#   - mounts: /etc, /var and /usr/local keep what they hold, changes go to memory; /home /root /run
#     /tmp /var/tmp /var/log /dev/shm are empty; a devpts of its own
#   - network: a loopback of its own, no other interface; ports never clash
#   - processes: all of them end with CMD, and CMD ends when whoever called this dies
#   - a host name, System V IPC of its own
#
# The checkout, the folder of the Node in use and every folder in LAB_KEEP (colon separated) stay
# where they are, also below a place that is emptied: they are held by descriptor and bound again,
# under parents with the owner and mode that they have outside.
# Needs root, util-linux, iproute2.
set -euo pipefail

if [ "${SSHDESK_LAB:-}" != entering ]; then
  [ "$(id -u)" = 0 ] || { echo 'lab.sh: needs root' >&2; exit 255; }
  script=$(readlink -f "$0")
  SSHDESK_LAB=entering exec setpriv --pdeathsig KILL \
    unshare --mount --net --uts --ipc --pid --fork --kill-child --mount-proc --propagation private \
    bash "$script" "$@"
fi

checkout=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd -P)
directory=$(pwd -P)

# What has to stay: path, a descriptor on it, and owner and mode of each of its parents.
declare -a kept=() held=() parents=()
keep() {
  local path parent fd
  path=$(readlink -f "$1") || return 0
  [ -d "$path" ] || return 0
  exec {fd}<"$path"
  kept+=("$path")
  held+=("$fd")
  parent=$(dirname "$path")
  while [ "$parent" != / ]; do
    parents+=("$(stat -c '%a %u:%g' "$parent") $parent")
    parent=$(dirname "$parent")
  done
}
keep "$checkout"
IFS=: read -ra more <<<"${LAB_KEEP:-}"
for path in "${more[@]}"; do [ -z "$path" ] || keep "$path"; done
node=$(command -v node || true)
[ -z "$node" ] || keep "$(dirname "$(readlink -f "$node")")"

# Changes to these are kept in memory. /mnt may be where the checkout is: use a place below /run.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/.lab
mount -t tmpfs -o mode=700 tmpfs /run/.lab
for path in /etc /var /usr/local; do
  name=${path//\//_}
  mkdir -p "/run/.lab/$name/upper" "/run/.lab/$name/work"
  if ! mount -t overlay \
    -o "lowerdir=$path,upperdir=/run/.lab/$name/upper,workdir=/run/.lab/$name/work" overlay "$path" \
    2>/dev/null; then
    # No overlay on this kernel or file system: copy what is small, leave the rest as it is.
    [ "$path" = /etc ] || continue
    cp -a /etc "/run/.lab/$name/copy"
    mount --bind "/run/.lab/$name/copy" /etc
  fi
done
for path in /home /root /var/log; do mount -t tmpfs -o mode=755 tmpfs "$path"; done
chmod 700 /root
for path in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$path"; done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts /dev/pts
[ -L /dev/ptmx ] || mount --bind /dev/pts/ptmx /dev/ptmx
mount -t sysfs sysfs /sys 2>/dev/null || true # for /sys/class/net of this namespace; not needed

for i in "${!kept[@]}"; do
  path=${kept[$i]}
  # Already visible (not below an emptied place): nothing to do.
  if [ "$path" -ef "/proc/self/fd/${held[$i]}" ]; then continue; fi
  mkdir -p "$path"
  mount --no-canonicalize --bind "/proc/self/fd/${held[$i]}" "$path"
done
for entry in "${parents[@]}"; do
  read -r mode owner path <<<"$entry"
  case $(stat -f -c %T "$path") in tmpfs) chown "$owner" "$path"; chmod "$mode" "$path" ;; esac
done
for fd in "${held[@]}"; do exec {fd}<&-; done

rm -rf /var/lib/sshdesk /etc/sshdesk # a server used on this machine has nothing to do here
# /dev is the machine's. Where nothing reads a log there, a link as systemd makes it leads into /run,
# which is the lab's own.
[ -e /dev/log ] || [ -L /dev/log ] || ln -s /run/systemd/journal/dev-log /dev/log
mkdir -p /run/sshd /run/lock /run/user /var/mail
chmod 1777 /run/lock
: >/run/utmp
: >/var/log/wtmp
: >/var/log/lastlog
install -m 600 /dev/null /var/log/btmp
ip link set lo up
hostname host.lab.test
printf '127.0.0.1 host.lab.test host localhost\n127.0.0.2 client.lab.test\n::1 localhost\n' >/etc/hosts
sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf

# Only system accounts; the server's own (./setup makes it) in any case.
ordinary=$(awk -F: '$3 >= 1000 && $3 < 60000 { print $1 }' /etc/passwd)
for name in $ordinary; do
  sed -i "/^$name:/d" /etc/passwd /etc/shadow /etc/group /etc/gshadow
done
rm -f /etc/subuid /etc/subgid
getent passwd sshdesk >/dev/null || useradd --system --user-group --no-create-home \
  --home-dir /nonexistent --shell /usr/sbin/nologin sshdesk

# No greetings in what tests compare.
: >/etc/motd
rm -rf /etc/update-motd.d/*

# Known PAM stacks, whatever packages this machine has: what Debian's pam-auth-update writes for
# pam_unix alone.
cat >/etc/pam.d/common-auth <<'P'
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
P
cat >/etc/pam.d/common-account <<'P'
account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so
account requisite pam_deny.so
account required pam_permit.so
P
cat >/etc/pam.d/common-password <<'P'
password [success=1 default=ignore] pam_unix.so obscure yescrypt
password requisite pam_deny.so
password required pam_permit.so
P
cat >/etc/pam.d/common-session <<'P'
session [default=1] pam_permit.so
session requisite pam_deny.so
session required pam_permit.so
session required pam_unix.so
P
cp /etc/pam.d/common-session /etc/pam.d/common-session-noninteractive

cd "$directory" 2>/dev/null || cd /
export SSHDESK_LAB=inside HOME=/root
unset SSH_AUTH_SOCK DISPLAY XAUTHORITY XDG_RUNTIME_DIR LD_PRELOAD
rc=0
"$@" || rc=$?
exit $rc
