/** Extended attributes `user.NAME`, as bytes: properties of the kind that file systems have (xattr(7)). */

import { right } from '../../acl/acl.ts'
import { type Decision, rightsOn } from '../../acl/authorizer.ts'
import type { Principal } from '../../acl/principal.ts'
import type { Pending, Trail, XattrFacet } from '../../backends/backend.ts'
import type { Place } from '../../mounts/namespace.ts'
import { touchingAttributes } from './acting.ts'
import type { Call } from './call.ts'
import { type Gate, missing } from './deciding.ts'
import { StorageError } from './errors.ts'
import type { Path } from './path.ts'
import type { Task } from './task.ts'

/** Bytes of a name without `user.`, and of a value (XATTR_NAME_MAX, XATTR_SIZE_MAX of Linux). */
const maxName = 250
const maxValue = 65_536

/** XATTR_CREATE: `absent`; XATTR_REPLACE: `present`. */
export type XattrCondition = 'any' | 'absent' | 'present'

/** StorageOperations.getXattr */
export function getXattr(gate: Gate, call: Call, path: Path, name: string): Promise<Uint8Array | undefined> {
  return gate.perform(call, 'read-properties', path, async (task) => {
    requireName(name, path)
    return look(gate, task, path, (xattrs, place) => xattrs.get(place.inner, name, task), permitsValue)
  })
}

/** As the kernel has it, values are for whoever may read the bytes, or named attributes where lists tell of them. */
function permitsValue(principal: Principal, seen: Trail, path: Path): Decision {
  if (!seen.entry || (rightsOn(principal, seen, path) & (right.readData | right.readNamedAttributes)) !== 0) {
    return { allowed: true }
  }
  const text = 'the ACL and the credential grant neither READ_DATA nor READ_NAMED_ATTRS'
  return { allowed: false, reason: { rule: 'not-granted', text, path } }
}

/** StorageOperations.listXattrs */
export function listXattrs(gate: Gate, call: Call, path: Path): Promise<readonly string[]> {
  return gate.perform(call, 'read-properties', path, (task) =>
    look(gate, task, path, (xattrs, place) => xattrs.list(place.inner, task)),
  )
}

async function look<T>(
  gate: Gate,
  task: Task,
  path: Path,
  ask: (xattrs: XattrFacet, place: Place) => Promise<Pending<T>>,
  permits?: (principal: Principal, seen: Trail, path: Path) => Decision,
): Promise<T> {
  const place = gate.place(task, 'read-properties', path)
  const xattrs = facetOf(place)
  return gate.act(
    task,
    place,
    () => ask(xattrs, place),
    ({ trail }) => {
      gate.allow(task, 'read-properties', place, trail)
      if (permits) {
        gate.allowAs(task, 'read-properties', place, trail, (seen) => permits(task.principal, seen, path))
      }
      if (!trail.entry && !place.mount.backend.enforces(task.principal)) throw missing(path)
    },
  )
}

/** StorageOperations.setXattr */
export function setXattr(
  gate: Gate,
  call: Call,
  path: Path,
  name: string,
  value: Uint8Array | undefined,
  condition: XattrCondition,
): Promise<void> {
  return gate.perform(call, 'write-properties', path, async (task) => {
    requireName(name, path)
    if (value && value.length > maxValue) throw new StorageError('too-large', 'the value is too large', { path })
    const place = gate.place(task, 'write-properties', path)
    gate.requireWritable(place)
    const xattrs = facetOf(place)
    return gate.act(
      task,
      place,
      () => xattrs.set(place.inner, name, value, condition, task),
      ({ trail }) => {
        gate.allow(task, 'write-properties', place, trail)
        if (!trail.entry && !place.mount.backend.enforces(task.principal)) throw missing(path)
      },
      { touching: touchingAttributes(place) },
    )
  })
}

function requireName(name: string, path: Path): void {
  if (name === '' || name.includes('\0') || !name.isWellFormed()) {
    throw new StorageError('invalid', 'this cannot be the name of an attribute', { path })
  }
  if (Buffer.byteLength(name) > maxName) throw new StorageError('name-too-long', 'the name is too long', { path })
}

function facetOf({ mount, path }: Place): XattrFacet {
  const { xattrs } = mount.backend
  if (xattrs) return xattrs
  throw new StorageError('unsupported', 'this mount has no extended attributes', { path })
}
