/** Whose uploads are. */

import { permitsPath } from '../../acl/authorizer.ts'
import type { StoredUpload } from '../state/state.ts'
import { StorageError } from './errors.ts'
import type { Path } from './path.ts'
import type { Task } from './task.ts'
import { termsOf } from './upload-terms.ts'

/** Whether the caller may know of it. */
export function isFor(task: Task, row: StoredUpload): boolean {
  const isOwn = row.principal === ownerOf(task) && (!task.principal.guest || termsOf(row).by === task.principal.id)
  return isOwn && reaches(task, row.path)
}

/** Whose an upload is. */
export function ownerOf({ principal }: Task): string {
  return principal.counted ?? principal.id
}

/** Whether the credential is good for writing there at all. */
export function reaches({ principal }: Task, path: Path): boolean {
  return permitsPath(principal, 'create', path).allowed || permitsPath(principal, 'replace', path).allowed
}

/** What one caller without a credential began would be everybody's. */
export function requireCaller({ principal }: Task, path: Path): void {
  if (principal.user !== undefined) return
  const reason = { rule: 'anonymous', text: 'uploads that are kept take a credential' }
  throw new StorageError('unauthenticated', 'a credential is needed', { path, reason })
}
