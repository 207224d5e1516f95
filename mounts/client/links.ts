/** Linked identities as the gateway tells of them, read with suspicion. */

import { readParts, type Whose } from './lists.ts'
import { members, text } from './members.ts'

/** Times are ISO 8601. */
export interface RemoteLink {
  readonly id: string
  readonly issuer: string
  readonly subject: string
  /** Undefined: links of this issuer do not count now. */
  readonly label: string | undefined
  readonly user: string
  readonly note: string
  readonly proven: string
  /** Undefined: it does not end. */
  readonly expires: string | undefined
}

export interface RemoteLinks {
  list(whose: Whose): Promise<readonly RemoteLink[]>
  remove(id: string): Promise<void>
}

/** `ask` gets the collection; `remove` removes one from it. */
export function linksOver(
  ask: (query: Readonly<Record<string, string>>) => Promise<unknown>,
  remove: (id: string) => Promise<unknown>,
): RemoteLinks {
  return {
    list: (whose) => readParts('links', whose, ask, readLink),
    async remove(id) {
      await remove(id)
    },
  }
}

function readLink(value: unknown): RemoteLink {
  const { id, issuer, subject, label, user, note, proven, expires } = members(value)
  return {
    id: text(id, 'id'),
    issuer: text(issuer, 'issuer'),
    subject: text(subject, 'subject'),
    label: label === null ? undefined : text(label, 'label'),
    user: text(user, 'user'),
    note: text(note, 'note'),
    proven: text(proven, 'proven'),
    expires: expires === null ? undefined : text(expires, 'expires'),
  }
}
