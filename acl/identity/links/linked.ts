/** Which accounts identities are linked to: by our own table, and by services that are asked. */

import type { Finding } from '../../../backends/backend.ts'
import { StorageError } from '../../../gateway/core/errors.ts'
import type { StoredLink } from '../../../gateway/state/state.ts'
import type { Linked, LinkParts } from '../mapping.ts'
import type { IdentityOptions, IssuerOptions, LinkOptions } from '../options.ts'
import { refuse } from '../refusal.ts'
import { Alise } from './alise.ts'

export class LinkedAccounts {
  readonly #domain: string
  readonly #issuers: readonly IssuerOptions[]
  readonly #links: LinkOptions | undefined
  readonly #services: readonly Alise[]

  /** `now`: milliseconds since 1970. */
  constructor({ domain, issuers, links, alise = [] }: IdentityOptions, now: () => number) {
    this.#domain = domain
    this.#issuers = issuers
    this.#links = links
    this.#services = alise.map((options) => new Alise(options, now))
  }

  /** What is known of the identity; none where nobody is asked. Throws `unavailable`. */
  async find(issuer: Pick<IssuerOptions, 'issuer' | 'name'>, subject: string): Promise<readonly Linked[]> {
    const [own, others] = await Promise.all([this.#own(issuer, subject), this.elsewhere(issuer, subject)])
    return [...own, ...others]
  }

  /** As `find`, but for our own table. */
  async elsewhere(issuer: Pick<IssuerOptions, 'issuer' | 'name'>, subject: string): Promise<readonly Linked[]> {
    const asked = this.#services.filter((service) => service.isFor(issuer.name))
    const found = await Promise.all(
      asked.map(async (service) => ({ account: await service.find(issuer.issuer, subject), by: service.name })),
    )
    return found.flatMap(({ account, by }) => (account === undefined ? [] : [{ account, by }]))
  }

  /** When a link is of no account any more (ms since 1970); undefined: never. */
  endOf({ proven }: StoredLink): number | undefined {
    const lifetime = this.#links?.lifetime
    return lifetime === undefined ? undefined : proven + lifetime * 1000
  }

  /** Whether a link counts: its issuer is one of those, and it was proven not too long ago. */
  counts(link: StoredLink): boolean {
    const name = this.#issuers.find(({ issuer }) => issuer === link.issuer)?.name
    const end = this.endOf(link) ?? Number.POSITIVE_INFINITY
    return this.#links?.issuers.includes(name ?? '') === true && this.#links.store.now() < end
  }

  /** Undefined where what was made by this link is good no more: it has gone, or does not count. */
  async standing(id: string, user: string): Promise<LinkParts | undefined> {
    const link = await this.#links?.store.get(id)
    return link?.user === user && this.counts(link) ? this.#partsOf(link) : undefined
  }

  /** Whether each service answers as one that knows our site and our key. */
  async check(): Promise<readonly Finding[]> {
    const subject = 'link'
    return Promise.all(
      this.#services.map(async (service): Promise<Finding> => {
        try {
          // Nobody has this subject, so that nothing is learnt of anybody.
          await service.find('https://nobody.invalid', 'portolan-check')
          return { subject, level: 'ok', text: `${service.name} answers` }
        } catch (thrown) {
          const error = StorageError.from(thrown)
          return {
            subject,
            level: 'error',
            text: `${service.name}: ${StorageError.reasonOf(error)?.text ?? error.message}`,
          }
        }
      }),
    )
  }

  async #own({ issuer, name }: Pick<IssuerOptions, 'issuer' | 'name'>, subject: string): Promise<readonly Linked[]> {
    if (this.#links?.issuers.includes(name) !== true) return []
    const link = await this.#links.store.find(issuer, subject)
    const at = `@${this.#domain}`
    if (link === undefined || !link.user.endsWith(at) || !this.counts(link)) return []
    const account = link.user.slice(0, -at.length)
    return [{ account, by: `the link ${link.id} of this identity`, ...this.#partsOf(link) }]
  }

  #partsOf(link: StoredLink): LinkParts {
    const end = this.endOf(link)
    return { link: link.id, ...(end !== undefined && { linkEnds: end }) }
  }
}

/**
 * The link that something was made by, as it is now. Throws `unauthenticated` where that has gone, or does not count any
 * more.
 */
export async function requireLink(
  id: string | undefined,
  user: string,
  linked: LinkedAccounts | undefined,
): Promise<LinkParts> {
  if (id === undefined) return {}
  const standing = await linked?.standing(id, user)
  if (standing) return standing
  throw refuse('link', 'the identity that it was made with is not linked to the account any more')
}

/** The name under which what came by a link alone is revoked. */
export function markOfLink(id: string): string {
  return `link:${id}`
}
