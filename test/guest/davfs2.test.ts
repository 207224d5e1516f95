/** The namespace mounted by davfs2 and used as a directory; its version in Debian lists nothing on newer kernels than a guest's. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { testInGuest } from '../peers/uml.ts'

if (existsSync('/usr/sbin/mount.davfs')) {
  const disk = `
modprobe loop; modprobe fuse
truncate -s 200M /run/img
mkfs.ext4 -q -I 512 /run/img
mount -o loop,user_xattr /run/img /mnt/exp
`
  await testInGuest(join(import.meta.dirname, 'guest-davfs2.ts'), disk, { limit: 240 })
} else {
  process.stdout.write('TAP version 14\n1..0 # SKIP needs mount.davfs (Debian: davfs2)\n')
}
