/** Quotas of a real file system, which the kernel that tests run on may not have: a whole gateway inside a guest. */

import { join } from 'node:path'
import { testInGuest } from '../peers/uml.ts'

await testInGuest(
  join(import.meta.dirname, 'guest-quota.ts'),
  `
modprobe loop; modprobe quota_v2
truncate -s 200M /run/img
mkfs.ext4 -q -O quota -I 512 /run/img
mount -o loop,usrquota,acl /run/img /mnt/exp
`,
  { limit: 180 },
)
