/** What each action needs: the only place where actions meet rights and token scopes. */

import { type Rights, right } from './acl.ts'
import type { GrantKind } from './principal.ts'

export const actions = [
  'stat', // attributes of an object
  'list', // names (and attributes) of a directory
  'read', // bytes of a file
  'create', // a new file
  'replace', // new bytes for an existing file
  'edit', // bytes of an existing file in place
  'mkdir',
  'remove',
  'move-away', // source side of a rename
  'move-in-file', // target side of a rename
  'move-in-directory',
  'set-times-now', // modification time to the server's now
  'set-attributes', // explicit times, labels, properties of the system
  'set-mode',
  'set-owner',
  'read-properties', // user metadata, tags, dead properties
  'write-properties',
  'read-acl',
  'write-acl',
  'stage', // bring online, pin, release
  'locality', // is it on disk or on tape
] as const

export type Action = (typeof actions)[number]

export interface Need {
  /** Scopes of tokens (WLCG token profile 1.2, section 2.2.1) and activities of macaroons, any of which suffices. None: nothing gives it. */
  readonly grants: readonly GrantKind[]
  /** Alternatives; within one, every listed right must be held on the object and on its parent. */
  readonly rights: ReadonlyArray<{ readonly target?: Rights; readonly parent?: Rights }>
}

const any: readonly GrantKind[] = [
  'read',
  'create',
  'modify',
  'stage',
  'poll',
  'look',
  'list',
  'download',
  'upload',
  'overwrite',
  'delete',
  'manage',
  'describe',
]

/** `remove` and `move-away` follow section 6.2.1.3.2 of RFC 8881 and are decided by deletion.ts, not by a row alone. */
export const needs: Readonly<Record<Action, Need>> = {
  stat: { grants: any, rights: [{ target: right.readAttributes }] },
  list: { grants: ['read', 'list'], rights: [{ target: right.listDirectory }] },
  read: { grants: ['read', 'download'], rights: [{ target: right.readData }] },
  create: { grants: ['create', 'modify', 'upload'], rights: [{ parent: right.addFile }] },
  replace: { grants: ['modify', 'overwrite'], rights: [{ target: right.writeData }] },
  edit: { grants: ['modify', 'overwrite'], rights: [{ target: right.writeData }] },
  mkdir: { grants: ['create', 'modify', 'manage'], rights: [{ parent: right.addSubdirectory }] },
  remove: { grants: ['modify', 'delete'], rights: [{ target: right.delete }, { parent: right.deleteChild }] },
  'move-away': {
    grants: ['create', 'modify', 'manage'],
    rights: [{ target: right.delete }, { parent: right.deleteChild }],
  },
  'move-in-file': { grants: ['create', 'modify', 'manage'], rights: [{ parent: right.addFile }] },
  'move-in-directory': { grants: ['modify', 'manage'], rights: [{ parent: right.addSubdirectory }] },
  'set-times-now': {
    grants: ['modify', 'describe'],
    rights: [{ target: right.writeData }, { target: right.writeAttributes }],
  },
  'set-attributes': { grants: ['modify', 'describe'], rights: [{ target: right.writeAttributes }] },
  // Who may get at an object is for its owner to say and never for the bearer of a capability.
  'set-mode': { grants: [], rights: [{ target: right.writeAcl }] },
  'set-owner': { grants: [], rights: [{ target: right.writeOwner }] },
  'read-properties': { grants: any, rights: [{ target: right.readNamedAttributes }, { target: right.readAttributes }] },
  'write-properties': {
    grants: ['modify', 'describe'],
    rights: [{ target: right.writeNamedAttributes }, { target: right.writeAttributes }],
  },
  'read-acl': { grants: any, rights: [{ target: right.readAcl }] },
  'write-acl': { grants: [], rights: [{ target: right.writeAcl }] },
  stage: { grants: ['stage'], rights: [{ target: right.readData }] },
  locality: { grants: any, rights: [{ target: right.readAttributes }] },
}
