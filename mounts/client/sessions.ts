/** Sessions of browsers as the gateway tells of them, read with suspicion. */

import { readParts, type Whose } from './lists.ts'
import { members, text } from './members.ts'

/** Times are ISO 8601. */
export interface RemoteSession {
  readonly id: string
  readonly user: string
  /** What the browser calls itself, and where it called from first. */
  readonly agent: string
  readonly from: string
  readonly created: string
  readonly used: string
  readonly expires: string
}

export interface RemoteSessions {
  list(whose: Whose): Promise<readonly RemoteSession[]>
  end(id: string): Promise<void>
}

/** `ask` gets the collection; `remove` removes one from it. */
export function sessionsOver(
  ask: (query: Readonly<Record<string, string>>) => Promise<unknown>,
  remove: (id: string) => Promise<unknown>,
): RemoteSessions {
  return {
    list: (whose) => readParts('sessions', whose, ask, readSession),
    async end(id) {
      await remove(id)
    },
  }
}

function readSession(value: unknown): RemoteSession {
  const { id, user, agent, from, created, used, expires } = members(value)
  return {
    id: text(id, 'id'),
    user: text(user, 'user'),
    agent: text(agent, 'agent'),
    from: text(from, 'from'),
    created: text(created, 'created'),
    used: text(used, 'used'),
    expires: text(expires, 'expires'),
  }
}
