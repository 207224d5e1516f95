/** What an administrator wants to know of a directory before people stand in front of the gateway. */

import type { TLSSocket } from 'node:tls'
import { PresenceFilter } from 'ldapts'
import type { Finding } from '../../../backends/backend.ts'
import type { Connection, Search } from './connection.ts'
import { LdapFailure } from './failure.ts'
import type { LdapOptions } from './options.ts'
import type { LdapSchema } from './schema.ts'
import type { Server } from './server.ts'
import { openSocket, type ServerAddress } from './socket.ts'

const day = 86_400_000
/** Days before the end of a certificate in which it is said. */
const notice = 21

/** Asks each server by itself. Never throws for what is wrong in the world. */
export async function checkDirectory(
  options: LdapOptions,
  schema: LdapSchema,
  servers: readonly Server[],
): Promise<readonly Finding[]> {
  const found = await Promise.all(servers.map((server) => checkServer(server, options, schema)))
  return found.flat()
}

async function checkServer(server: Server, options: LdapOptions, schema: LdapSchema): Promise<readonly Finding[]> {
  const subject = server.address.url
  try {
    return [
      ...(await checkCertificate(server.address, options)),
      ...(await server.lendLong((connection) => checkContents(subject, connection, { options, schema }))),
    ]
  } catch (error) {
    if (!(error instanceof LdapFailure)) throw error
    return [{ subject, level: 'error', text: `${error.message}${advice(error)}` }]
  }
}

function advice({ kind }: LdapFailure): string {
  if (kind === 'tls') return '; name the authority of its certificate in `ca`, and its name in `servers`'
  if (kind === 'bind') return '; see `bind`'
  return ''
}

/** Says what protects the connection. Throws LdapFailure. */
async function checkCertificate(
  address: ServerAddress,
  { ca, connectDeadline: deadline }: LdapOptions,
): Promise<readonly Finding[]> {
  const subject = address.url
  if (address.tls === 'none') return [{ subject, level: 'ok', text: 'reached without TLS, on loopback' }]
  const socket = await openSocket(address, { deadline, ...(ca !== undefined && { ca }) })
  try {
    // With TLS asked for, nothing else is given.
    const end = Date.parse((socket as TLSSocket).getPeerCertificate().valid_to)
    const left = Math.floor((end - Date.now()) / day)
    if (left < notice) return [{ subject, level: 'warning', text: `its certificate ends in ${left} days` }]
    return [{ subject, level: 'ok', text: `its certificate is accepted and good for ${left} days` }]
  } finally {
    socket.destroy()
  }
}

interface Asked {
  readonly options: LdapOptions
  readonly schema: LdapSchema
}

async function checkContents(
  subject: string,
  connection: Connection,
  { options, schema }: Asked,
): Promise<readonly Finding[]> {
  const { users, groups } = options
  const { user, group } = schema
  const named = [user.name, user.uid, user.gid]
  const person = await sample(connection, { base: users.base, filter: schema.users(), attributes: named })
  const members = {
    base: groups.base,
    filter: schema.groups(present(group.member)),
    attributes: [group.name, group.gid],
  }
  const someGroup = await sample(connection, members)
  const findings = [
    contentFinding(subject, person, `users below ${users.base}`, 'objectClass, filter and schema of `users`'),
  ]
  if (person instanceof Object && 'dn' in person) {
    const missing = [user.uid, user.gid].filter((attribute) => (person.texts(attribute)?.length ?? 0) === 0)
    if (missing.length > 0) {
      const text = `${person.dn} has no ${missing.join(' and no ')}: without numbers only mounts with \`enforce: gateway\` let people in`
      findings.push({ subject, level: 'warning', text })
    }
  }
  findings.push(
    contentFinding(subject, someGroup, `groups with ${group.member} below ${groups.base}`, `\`schema\` and \`groups\``),
  )
  return findings
}

function present(attribute: string): PresenceFilter {
  return new PresenceFilter({ attribute })
}

/** Large groups come with few others. */
const smallPage = { size: 5, bytes: 64 * 2 ** 20 }

type Sample = Awaited<ReturnType<Connection['search']>>[number] | undefined | LdapFailure

/** One entry, undefined where there is none, or why it cannot be read. Throws LdapFailure when the connection is gone. */
async function sample(connection: Connection, search: Search): Promise<Sample> {
  try {
    for await (const [entry] of connection.pages({ ...search, page: smallPage })) if (entry !== undefined) return entry
    return undefined
  } catch (error) {
    if (error instanceof LdapFailure && error.kind === 'result') return error
    throw error
  }
}

function contentFinding(subject: string, found: Sample, what: string, where: string): Finding {
  if (found instanceof LdapFailure)
    return { subject, level: 'error', text: `${what} cannot be read (${found.message})` }
  if (found === undefined) return { subject, level: 'error', text: `the gateway sees no ${what}; see ${where}` }
  return { subject, level: 'ok', text: `the gateway reads ${what}` }
}
