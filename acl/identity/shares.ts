/** Share links: macaroons for people, of which their issuer keeps a list. What opens a link is told once and not kept. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Share as KeptShare, ShareStore } from '../../gateway/state/state.ts'
import { type Principal, requireAdministrator } from '../principal.ts'
import type { Secret } from '../secret.ts'
import type { Macaroons, Share, ShareOrder, Shares } from './identity.ts'

/** Links of one user. */
const mostOfOne = 1000
/** Links told at once to an administrator. */
const mostTold = 10_000
const maxNote = 200

export function createShares(store: ShareStore, macaroons: Macaroons): Shares {
  return {
    create: (principal, order) => create(store, macaroons, principal, order),
    async list(principal, all, { user, most = mostTold, after } = {}) {
      if (all) requireAdministrator(principal)
      if (principal.user === undefined) return []
      const kept = await store.list(all ? user : principal.user, Math.min(most, mostTold), after)
      return kept.filter((share) => all || isOwn(share, principal)).map(told)
    },
    async revoke(principal, id) {
      const share = await store.get(id)
      if (!share || !(isOwn(share, principal) || principal.administrator)) {
        throw new StorageError('not-found', 'no such link')
      }
      await macaroons.revoke(id, principal, share.expires)
      await store.remove(id)
      return told(share)
    },
  }
}

async function create(
  store: ShareStore,
  macaroons: Macaroons,
  principal: Principal,
  order: ShareOrder,
): Promise<Share & { readonly macaroon: Secret }> {
  const { path, activities, networks, validity, note } = order
  if (activities.length === 0) throw new StorageError('invalid', 'a link must allow something')
  if (note !== undefined && note.length > maxNote) throw new StorageError('invalid', 'the note is too long')
  const caveats = [`activity:${activities.join()}`, ...(networks.length > 0 ? [`ip:${networks.join()}`] : [])]
  const wish = { path, caveats, link: true, ...(validity !== undefined && { validity }) }
  const { id, macaroon, expires } = await macaroons.issue(principal, wish)
  const terms = JSON.stringify({ activities, networks, ...(note !== undefined && { note }) } satisfies Terms)
  const kept = { id, principal: principal.id, user: principal.user ?? '', path, terms, expires }
  return { ...told(await store.add(kept, mostOfOne)), macaroon }
}

interface Terms {
  readonly activities: readonly string[]
  readonly networks: readonly string[]
  readonly note?: string
}

function told({ id, principal, user, path, terms, created, expires }: KeptShare): Share {
  return { id, principal, user, path, created, expires, ...(JSON.parse(terms) as Terms) }
}

/** A capability stands for itself alone; whoever signs in as a person sees all that this person has made. */
function isOwn(share: KeptShare, { id, user, grants }: Principal): boolean {
  return share.principal === id || (grants === 'unbounded' && user !== undefined && share.user === user)
}
