#!/bin/bash
# First program of a User Mode Linux guest whose root is the host's own, read-only: mounts what programs expect, runs
# the script in /mnt/share, the one place of the host that it may write to, leaves its exit status there, and powers off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TERM=dumb TMPDIR=/run/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt
mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm
mkdir -p /run/tmp /run/lock /run/m/lib/modules /mnt/share /mnt/nfs /mnt/exp
mount -t hostfs none /mnt/share -o "$SHARE"
if [ -d /var/lib/nfs ]; then
  mount -t tmpfs tmpfs /var/lib/nfs
  mkdir -p /var/lib/nfs/sm /var/lib/nfs/sm.bak /var/lib/nfs/v4recovery /var/lib/nfs/nfsdcld
  touch /var/lib/nfs/etab /var/lib/nfs/rmtab
fi
# Modules lie where the package has put them, which is not where the kernel looks.
ln -s "/usr/lib/uml/modules/$(uname -r)" "/run/m/lib/modules/$(uname -r)"
modprobe() { /run/modprobe "$@"; }
export -f modprobe
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/m "$@"\n' >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
ip link set lo up
/bin/bash /mnt/share/command
echo $? >/mnt/share/status
sync
echo o >/proc/sysrq-trigger
sleep 10
