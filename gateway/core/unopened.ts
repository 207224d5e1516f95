/** What is told of a file without opening it, where opening it is what the kernel would decide on. */

import { right } from '../../acl/acl.ts'
import type { Place } from '../../mounts/namespace.ts'
import { denied } from './deciding.ts'
import type { Task } from './task.ts'

/** For HEAD, and for content that the caller has already: throws `denied` where the kernel would not let him read the file. */
export async function requireReadable(task: Task, { mount, inner, path }: Place): Promise<void> {
  const { backend, enforce } = mount
  if (enforce !== 'native' || !backend.rights) return
  const held = await backend.rights.effective(inner, task)
  if (held !== 'unknown' && (held & right.readData) !== 0) return
  throw denied(path, { rule: 'native', text: 'the kernel does not let this user read it' })
}
