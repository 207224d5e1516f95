/** Bans as the gateway tells of them, read with suspicion. */

import { readParts } from './lists.ts'
import { members, text } from './members.ts'

export interface RemoteBan {
  readonly name: string
  readonly by: string
  readonly note: string
  /** ISO 8601; undefined: for good. */
  readonly until: string | undefined
}

export interface BanTerms {
  /** Seconds; for good without. */
  readonly validity?: number | undefined
  readonly note?: string | undefined
}

export interface RemoteBans {
  list(): Promise<readonly RemoteBan[]>
  add(name: string, terms: BanTerms): Promise<void>
  /** Bans a credential by the name that it carries, and gives that. */
  addToken(token: string, note: string | undefined): Promise<Pick<RemoteBan, 'name' | 'until'>>
  lift(name: string): Promise<void>
}

export interface BanRequests {
  part(query: Readonly<Record<string, string>>): Promise<unknown>
  add(ban: object): Promise<void>
  addToken(ban: object): Promise<unknown>
  remove(name: string): Promise<unknown>
}

export function bansOver({ part, add, addToken, remove }: BanRequests): RemoteBans {
  return {
    list: () => readParts('bans', {}, part, readBan),
    add: (name, { validity, note }) =>
      add({ name, note, ...(validity !== undefined && { validity: `PT${validity}S` }) }),
    addToken: async (token, note) => readName(await addToken({ token, note })),
    async lift(name) {
      await remove(name)
    },
  }
}

function readBan(value: unknown): RemoteBan {
  const { by, note } = members(value)
  return { ...readName(value), by: text(by, 'by'), note: text(note, 'note') }
}

function readName(value: unknown): Pick<RemoteBan, 'name' | 'until'> {
  const { name, until } = members(value)
  return { name: text(name, 'name'), until: until === null ? undefined : text(until, 'until') }
}
