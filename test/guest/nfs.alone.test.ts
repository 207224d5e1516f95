/** The POSIX back end on a real NFSv4 mount: the Linux client and server of a guest kernel, over ext4 with ACLs. */

import { join } from 'node:path'
import { testInGuest } from '../peers/uml.ts'

// mke2fs(8) gives small images small blocks, and targets of links and attributes have no more than one.
await testInGuest(
  join(import.meta.dirname, 'guest-nfs.ts'),
  `
modprobe nfsd; modprobe nfsv4; modprobe loop
truncate -s 300M /run/img
mkfs.ext4 -q -b 4096 -I 512 /run/img
mount -o loop,acl,user_xattr /run/img /mnt/exp
mount -t nfsd nfsd /proc/fs/nfsd
exportfs -o rw,insecure,no_root_squash,no_subtree_check,fsid=0,sec=sys '127.0.0.1:/mnt/exp'
rpc.mountd -N 2 -N 3
rpc.nfsd -N 3 -t 4
echo 1 >/proc/fs/nfsd/v4_end_grace || true
mount -t nfs4 -o vers=4.2,sec=sys,actimeo=0 127.0.0.1:/ /mnt/nfs
`,
  { limit: 450 },
)
