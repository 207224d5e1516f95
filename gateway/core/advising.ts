/** What somebody can do about an answer: one sentence, out of what was explained to him. Pure. */

import { type Action, needs } from '../../acl/needs.ts'
import type { GrantKind, Principal } from '../../acl/principal.ts'
import type { ExplainedStep } from './operations.ts'
import type { Path } from './path.ts'

export interface Explained {
  readonly action: Action
  readonly path: Path
  readonly subject: Principal
  /** Whether it is the subject who asks. */
  readonly own: boolean
  readonly allowed: boolean | 'unknown'
  readonly steps: readonly ExplainedStep[]
  /** The owner of what an ACL closes, where the asker may know him; and whether that is the subject. */
  readonly owner: string | undefined
  readonly owns: boolean
  /** The bytes are on tape alone. */
  readonly onTape: boolean
}

/** What is asked for, as one asks for it. */
const askedFor: Readonly<Record<Action, string>> = {
  stat: 'the right to look at it',
  list: 'the right to list it',
  read: 'read access',
  create: 'the right to add files there',
  replace: 'write access',
  edit: 'write access',
  mkdir: 'the right to add directories there',
  remove: 'the right to delete it',
  'move-away': 'the right to move it away',
  'move-in-file': 'the right to add files there',
  'move-in-directory': 'the right to add directories there',
  'set-times-now': 'write access',
  'set-attributes': 'the right to change its attributes',
  'set-mode': 'the right to change its ACL',
  'set-owner': 'the right to take it over',
  'read-properties': 'the right to look at it',
  'write-properties': 'the right to change its attributes',
  'read-acl': 'the right to read its ACL',
  'write-acl': 'the right to change its ACL',
  stage: 'read access',
  locality: 'the right to look at it',
}

/** Scopes that tokens have (WLCG token profile, section 2.2.1). */
const scopes: ReadonlySet<GrantKind> = new Set<GrantKind>(['read', 'create', 'modify', 'stage', 'poll'])

const later: ReadonlySet<string> = new Set(['unavailable', 'busy', 'timeout'])

/** Undefined where there is nothing to be done. */
export function adviceOn(explained: Explained): string | undefined {
  const { allowed, subject, action, onTape } = explained
  if (allowed === true) {
    return action === 'read' && onTape ? 'The bytes are on tape alone: have them brought to disk first.' : undefined
  }
  const failed = explained.steps.find((step) => step.allowed === false)
  if (failed !== undefined) return onRefusal(explained, failed)
  if (subject.user === undefined) return 'Sign in, or send a credential: then it is looked up.'
  return 'Try it: the storage decides when it is asked, and its answer is what counts.'
}

function onRefusal(explained: Explained, { check, reason }: ExplainedStep): string {
  const { rule } = reason
  if (check === 'credential') {
    if (rule === 'address') return 'Come from an address that it was made for, or ask for another credential.'
    return rule === 'token-expired'
      ? 'Get a new token, or sign in again: this credential has expired.'
      : 'Sign in, or send a credential: nobody comes in here without one.'
  }
  if (rule === 'scope') return onScope(explained)
  if (rule === 'mount-point') return 'Places where storage is mounted can be neither moved nor deleted.'
  if (check === 'mount') return 'Nobody can change anything here: write somewhere else.'
  if (rule === 'special-file') return 'Nothing can be done with devices and pipes here.'
  if (rule === 'symlink') return 'Use the path that the link leads to; what lies there has rules of its own.'
  if (check === 'back end') return onStorage(explained, rule)
  return onAcl(explained, rule, reason.path)
}

function onScope({ action, path, subject }: Explained): string {
  if (subject.macaroon !== undefined)
    return 'The link or macaroon is too narrow for this: ask whoever made it for another.'
  // Whatever the scope, it shows the ACLs of one's own objects alone.
  const kinds = action === 'read-acl' ? [] : needs[action].grants.filter((kind) => scopes.has(kind))
  const [first, ...others] = kinds.map((kind) => `storage.${kind}:${path}`)
  if (first === undefined) {
    return 'No token with storage scopes may do this: use one without them, a ticket or a password.'
  }
  const choice = others.length === 0 ? first : `${first} (or ${others.join(', ')})`
  return `The token lacks ${choice}, counted in paths of this namespace: get one that has it.`
}

function onStorage(explained: Explained, rule: string): string {
  if (rule === 'not-found') return 'Check the spelling: it may have been moved, or deleted.'
  if (later.has(rule)) return 'Try again in a while: the storage does not answer.'
  if (rule === 'credential') return 'Come with a token: what you came with cannot be shown to this storage.'
  return askOwner(explained, askedFor[explained.action], explained.path)
}

function onAcl(explained: Explained, rule: string, where: Path | undefined): string {
  const { action, owner, own, owns } = explained
  const place = where ?? explained.path
  if (rule === 'no-acl') return `Tell whoever runs this gateway that no ACL can be read at ${place}.`
  if (owns) return `${own ? 'You own' : `${owner} owns`} ${place}: its ACL can be changed.`
  if (rule === 'traverse') return askOwner(explained, 'the right to pass through it (EXECUTE)', place)
  if (rule === 'sticky') return `Only its owner and the owner of ${place} can delete here.`
  return askOwner(explained, askedFor[action], place)
}

function askOwner({ owner, own }: Explained, what: string, place: Path): string {
  if (owner === undefined) {
    return own ? `Ask whoever manages ${place} for ${what}.` : `Whoever manages ${place} can give ${what}.`
  }
  return own
    ? `Ask ${owner}, the owner of ${place}, for ${what}.`
    : `${owner}, the owner of ${place}, can give ${what}.`
}
