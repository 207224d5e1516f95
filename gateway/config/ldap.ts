/** A directory among `accounts`. */

import { z } from 'zod'
import { ldapProblems } from '../../acl/identity/ldap/check.ts'
import type { BrokenRule, KeyPath } from './problems.ts'
import { choice, lifetime, list, section, span, text, whole, yesNo } from './values.ts'

const attribute = z
  .string('expected the name of an attribute')
  .regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, 'expected the name of an attribute, without options')

const id = whole(1, 2 ** 32 - 3)

export function ldapSection<File extends z.ZodType, Secret extends z.ZodType>(file: File, secret: Secret) {
  return section({
    /** The first that answers is asked. */
    servers: list(text, 16),
    /** Required for ldap:// servers off loopback. */
    startTls: yesNo.default(false),
    /** PEM certificates trusted instead of the system's. */
    ca: file.exactOptional(),
    /** Who asks; anonymously if absent. */
    bind: section({ dn: text, password: secret }).exactOptional(),
    schema: choice('rfc2307', 'rfc2307bis', 'ad'),
    users: section({
      base: text,
      objectClass: attribute.exactOptional(),
      filter: text.exactOptional(),
      attributes: section({
        name: attribute.exactOptional(),
        uid: attribute.exactOptional(),
        gid: attribute.exactOptional(),
        mail: attribute.exactOptional(),
      }).exactOptional(),
    }),
    groups: section({
      base: text,
      objectClass: attribute.exactOptional(),
      filter: text.exactOptional(),
      attributes: section({
        name: attribute.exactOptional(),
        gid: attribute.exactOptional(),
        member: attribute.exactOptional(),
      }).exactOptional(),
    }),
    /** Groups that lie between a person and the outermost that counts. */
    depth: whole(0, 32).default(8),
    deadlines: section({
      connect: span.default(3000),
      answer: span.default(5000),
      /** For a free connection. */
      wait: span.default(5000),
    }).prefault({}),
    /** At once, in each process. */
    connections: whole(1, 64).default(4),
    lifetimes: section({
      found: span.default(300_000),
      missing: span.default(30_000),
      /** For those known before, while no server answers. */
      stale: lifetime.default(4 * 3_600_000),
    }).prefault({}),
    /** Besides `minUid` of all sources. */
    minUid: id.default(1),
    minGid: id.default(1),
  })
}

/** What must hold in a section at `path`. */
export function* ldapRules(ldap: z.output<ReturnType<typeof ldapSection>>, path: KeyPath): Generator<BrokenRule> {
  for (const problem of ldapProblems(ldap)) yield { path: [...path, ...problem.path], text: problem.text }
}
