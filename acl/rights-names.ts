/** The names RFC 8881 gives to rights, for messages. */

import type { Rights } from './acl.ts'
import type { ObjectKind } from './dialects.ts'

const names: ReadonlyArray<readonly [Rights, string, string]> = [
  [0x1, 'READ_DATA', 'LIST_DIRECTORY'],
  [0x2, 'WRITE_DATA', 'ADD_FILE'],
  [0x4, 'APPEND_DATA', 'ADD_SUBDIRECTORY'],
  [0x8, 'READ_NAMED_ATTRS', 'READ_NAMED_ATTRS'],
  [0x10, 'WRITE_NAMED_ATTRS', 'WRITE_NAMED_ATTRS'],
  [0x20, 'EXECUTE', 'EXECUTE'],
  [0x40, 'DELETE_CHILD', 'DELETE_CHILD'],
  [0x80, 'READ_ATTRIBUTES', 'READ_ATTRIBUTES'],
  [0x100, 'WRITE_ATTRIBUTES', 'WRITE_ATTRIBUTES'],
  [0x200, 'WRITE_RETENTION', 'WRITE_RETENTION'],
  [0x400, 'WRITE_RETENTION_HOLD', 'WRITE_RETENTION_HOLD'],
  [0x10000, 'DELETE', 'DELETE'],
  [0x20000, 'READ_ACL', 'READ_ACL'],
  [0x40000, 'WRITE_ACL', 'WRITE_ACL'],
  [0x80000, 'WRITE_OWNER', 'WRITE_OWNER'],
  [0x100000, 'SYNCHRONIZE', 'SYNCHRONIZE'],
]

/** Names in the order of the bits; a bit without a name is given as a number. */
export function rightsNames(rights: Rights, kind: ObjectKind): string[] {
  const result: string[] = []
  let rest = rights
  for (const [bit, onFile, onDirectory] of names) {
    if ((rights & bit) === 0) continue
    result.push(kind === 'directory' ? onDirectory : onFile)
    rest &= ~bit
  }
  if (rest !== 0) result.push(`0x${(rest >>> 0).toString(16)}`)
  return result
}
