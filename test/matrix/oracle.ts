/**
 * What the answer ought to be, worked out a second time and from the texts alone: RFC 8881, section 6.2.1 (the walk
 * over the entries), 6.2.1.3.2 (deletion), the WLCG token profile, section 2.2.1 (scopes), and the activities of
 * macaroons. It shares nothing with the code that it judges: rights are letters of nfs4_acl(5), names are texts.
 */

/** Who asks, and what the credential is bound by. */
export interface Caller {
  /** "bob@lab.example"; undefined for a caller without a credential. */
  readonly user: string | undefined
  /** With their domain or issuer. */
  readonly groups: readonly string[]
  /** Bounds that all hold, one after the other; none for a credential that ACLs alone bound. */
  readonly bounds: readonly Bound[]
}

export interface Bound {
  /** Scopes of a token ("storage.read") or activities of a macaroon ("DOWNLOAD"). */
  readonly names: readonly string[]
  /** Where they hold, itself included. */
  readonly path: string
}

/** An object as the storage shows it. */
export interface Guarded {
  readonly path: string
  readonly owner: string
  readonly group: string
  readonly isDirectory: boolean
  /** As nfs4_getfacl prints them. */
  readonly entries: readonly string[]
}

export interface Place {
  /** Every directory on the way, the top of the mount first, the parent last. */
  readonly way: readonly Guarded[]
  /** Undefined for a name that is not there. */
  readonly object: Guarded | undefined
  readonly path: string
}

export const matrixActions = [
  'stat',
  'list',
  'read',
  'create',
  'replace',
  'edit',
  'mkdir',
  'remove',
  'move-away',
  'move-in-file',
  'move-in-directory',
  'set-times-now',
  'set-attributes',
  'set-mode',
  'set-owner',
  'read-properties',
  'write-properties',
  'read-acl',
  'write-acl',
  'stage',
  'locality',
] as const
export type MatrixAction = (typeof matrixActions)[number]

/** A letter that the object, or the directory around it, must give; several rows: any of them. */
type Row = readonly ['object' | 'parent', string]

const rows: Readonly<Record<Exclude<MatrixAction, 'remove' | 'move-away'>, readonly Row[]>> = {
  stat: [['object', 't']],
  list: [['object', 'r']],
  read: [['object', 'r']],
  create: [['parent', 'w']],
  replace: [['object', 'w']],
  edit: [['object', 'w']],
  mkdir: [['parent', 'a']],
  'move-in-file': [['parent', 'w']],
  'move-in-directory': [['parent', 'a']],
  'set-times-now': [
    ['object', 'w'],
    ['object', 'T'],
  ],
  'set-attributes': [['object', 'T']],
  'set-mode': [['object', 'C']],
  'set-owner': [['object', 'o']],
  // Named attributes; whoever may see or set the attributes may see or set these too.
  'read-properties': [
    ['object', 'n'],
    ['object', 't'],
  ],
  'write-properties': [
    ['object', 'N'],
    ['object', 'T'],
  ],
  'read-acl': [['object', 'c']],
  'write-acl': [['object', 'C']],
  stage: [['object', 'r']],
  locality: [['object', 't']],
}

/** What each scope or activity gives. Looking (`stat`, `locality`, properties) comes with every one of them. */
const gives: Readonly<Record<string, readonly MatrixAction[]>> = {
  'storage.read': ['list', 'read'],
  'storage.create': ['create', 'mkdir', 'move-in-file', 'move-away'],
  'storage.modify': [
    ...(['create', 'replace', 'edit', 'mkdir', 'remove', 'move-away', 'move-in-file', 'move-in-directory'] as const),
    ...(['set-times-now', 'set-attributes', 'write-properties'] as const),
  ],
  'storage.stage': ['stage'],
  'storage.poll': [],
  LIST: ['list'],
  DOWNLOAD: ['read'],
  UPLOAD: ['create'],
  DELETE: ['remove'],
  'UPLOAD+DELETE': ['replace', 'edit'],
  MANAGE: ['mkdir', 'move-away', 'move-in-file', 'move-in-directory'],
  UPDATE_METADATA: ['set-times-now', 'set-attributes', 'write-properties'],
}
const looking: ReadonlySet<MatrixAction> = new Set(['stat', 'locality', 'read-properties'])

/** Whether the caller may. What is missing asks for nothing of itself: the directory alone decides then. */
export function mayDo(caller: Caller, action: MatrixAction, place: Place): boolean {
  return (
    mayByCredential(caller, action, place) &&
    place.way.every((directory) => holds(caller, directory, 'x')) &&
    byAcl(caller, action, place)
  )
}

/** The credential's half alone. */
export function mayByCredential(caller: Caller, action: MatrixAction, place: Place): boolean {
  return caller.bounds.every((bound) => isWithin(caller, action, place, bound))
}

function isWithin(caller: Caller, action: MatrixAction, { path, object }: Place, { names, path: top }: Bound): boolean {
  if (path !== top && !path.startsWith(`${top}/`)) {
    // The way to what the credential is for may be looked at.
    return top.startsWith(`${path}/`) && (action === 'stat' || action === 'list')
  }
  // No capability is good for who may get at an object: that is the owner's own affair.
  if (action === 'read-acl') return object?.owner === caller.user
  if (looking.has(action)) return names.length > 0
  const isCreateOnly = action === 'move-away' && object?.isDirectory === true
  const all = [...names, ...(names.includes('UPLOAD') && names.includes('DELETE') ? ['UPLOAD+DELETE'] : [])]
  return all.some((name) => gives[name]?.includes(action) && !(isCreateOnly && name === 'storage.create'))
}

function byAcl(caller: Caller, action: MatrixAction, { way, object }: Place): boolean {
  const parent = way.at(-1)
  if (action === 'remove' || action === 'move-away') return !object || !parent || mayDelete(caller, object, parent)
  return rows[action].some(([where, letter]) => {
    const asked = where === 'object' ? object : parent
    return asked === undefined || holds(caller, asked, letter)
  })
}

/** Either right will do; where neither is spoken of, the right to add files; and one that is denied is not silence. */
function mayDelete(caller: Caller, object: Guarded, parent: Guarded): boolean {
  const own = saying(caller, object, 'd')
  const its = saying(caller, parent, 'D')
  if (own === 'yes' || its === 'yes') return true
  return own === undefined && its === undefined && holds(caller, parent, 'w')
}

function holds(caller: Caller, object: Guarded, letter: string): boolean {
  return saying(caller, object, letter) === 'yes'
}

/** The first entry that speaks to the caller about this right decides. */
function saying(caller: Caller, object: Guarded, letter: string): 'yes' | 'no' | undefined {
  for (const entry of object.entries) {
    const [type = '', flags = '', ...rest] = entry.split(':')
    const letters = rest.at(-1) ?? ''
    const who = rest.slice(0, -1).join(':')
    // i: for what is inherited by others only. U and L: audit and alarm, which decide nothing.
    if (flags.includes('i') || (type !== 'A' && type !== 'D') || !letters.includes(letter)) continue
    if (speaksTo(caller, object, who, flags.includes('g'))) return type === 'A' ? 'yes' : 'no'
  }
  return undefined
}

function speaksTo({ user, groups }: Caller, { owner, group }: Guarded, who: string, isGroup: boolean): boolean {
  if (who === 'EVERYONE@') return true
  if (who === 'ANONYMOUS@') return user === undefined
  if (user === undefined) return false
  if (who === 'AUTHENTICATED@') return true
  if (who === 'OWNER@') return user === owner
  if (who === 'GROUP@') return groups.includes(group)
  return isGroup ? groups.includes(who) : user === who
}
