/** Who may remove an entry from a directory: DELETE and DELETE_CHILD (RFC 8881, section 6.2.1.3.2). */

import type { Entry } from '../backends/backend.ts'
import { right } from './acl.ts'
import { type AclDecision, decide, isOwner } from './evaluate.ts'
import { aclFromMode } from './mode.ts'
import type { Principal } from './principal.ts'

/** How it was decided; the entry of the object or of its parent that did, where one did. */
export type Deletion =
  | { readonly allowed: true; readonly by?: 'object' | 'parent'; readonly ace?: number }
  | {
      readonly allowed: false
      readonly rule: 'ace' | 'not-granted' | 'sticky' | 'no-acl'
      readonly by: 'object' | 'parent'
      readonly ace?: number
    }

/**
 * DELETE on the object or DELETE_CHILD on the directory suffices, whatever the other says. Where
 * neither is mentioned, ADD_FILE on the directory does (dCache: its mode bits). In a sticky directory a
 * caller who owns neither needs DELETE on the object itself. Traversal has been checked before.
 */
export function decideDeletion(principal: Principal, parent: Entry, entry: Entry): Deletion {
  if (parent.acl === undefined) return { allowed: false, rule: 'no-acl', by: 'parent' }
  if (entry.acl === undefined) return { allowed: false, rule: 'no-acl', by: 'object' }
  const object = decide(entry.acl, principal, right.delete)
  if (object.outcome === 'allowed') return { allowed: true, by: 'object', ...aceOf(object) }

  const directory = decide(parent.acl, principal, right.deleteChild)
  const isSticky = ((parent.mode ?? 0) & 0o1000) !== 0
  if (isSticky && !isOwner(entry.acl, principal) && !isOwner(parent.acl, principal)) {
    return { allowed: false, rule: 'sticky', by: 'parent' }
  }
  if (directory.outcome === 'allowed') return { allowed: true, by: 'parent', ...aceOf(directory) }
  if (object.outcome === 'denied') return { allowed: false, rule: 'ace', by: 'object', ...aceOf(object) }
  if (directory.outcome === 'denied') return { allowed: false, rule: 'ace', by: 'parent', ...aceOf(directory) }

  const fallback = decideSilence(principal, parent)
  if (fallback.outcome === 'allowed') return { allowed: true, by: 'parent', ...aceOf(fallback) }
  const rule = fallback.outcome === 'denied' && parent.acl.dialect !== 'dcache' ? 'ace' : 'not-granted'
  return { allowed: false, rule, by: 'parent', ...(rule === 'ace' && aceOf(fallback)) }
}

function decideSilence(principal: Principal, parent: Entry): AclDecision {
  const { acl, mode } = parent
  if (acl === undefined) return { outcome: 'undefined', rights: right.addFile }
  if (acl.dialect !== 'dcache') return decide(acl, principal, right.addFile)
  if (mode === undefined) return { outcome: 'undefined', rights: right.deleteChild }
  const { outcome, rights } = decide(aclFromMode(mode, 'directory', acl), principal, right.deleteChild)
  return { outcome, rights }
}

function aceOf({ ace }: AclDecision): { ace?: number } {
  return ace === undefined ? {} : { ace }
}
