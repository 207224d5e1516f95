/** dCache, as a configuration describes it. */

import { Secret } from '../../acl/secret.ts'
import { DcacheBackend } from '../../backends/dcache/dcache.ts'
import type { Config, MountConfig } from '../config.ts'
import { StorageError } from '../core/errors.ts'
import { readText } from './files.ts'
import { type Means, readWord, type Section } from './making.ts'

type Dcache = Section<'dcache'>

/** Nothing is asked of dCache yet. */
export async function makeDcache(
  mount: MountConfig,
  section: Dcache,
  config: Config,
  { services, log }: Means,
): Promise<DcacheBackend> {
  const { webdav, frontend, root, ca, pools, insecurePools, connections, spaceToken, stall, redirects, events } =
    section
  const name = `dcache:${new URL(webdav).host}${root}`
  return new DcacheBackend(
    {
      name,
      webdav: new URL(webdav),
      ...(frontend !== undefined && { frontend: new URL(frontend) }),
      ...(ca !== undefined && { ca: await readText(ca) }),
      ...(spaceToken !== undefined && { spaceToken }),
      ...{ root, pools, insecurePools, connections, stall, events },
      deadline: mount.deadline,
      delegation: await delegationOf(section, config),
      ...(redirects && { redirects: { validity: redirects.validity / 1000 } }),
      log: (message, cause) => log.warn({ backend: name, err: cause }, message),
    },
    services,
  )
}

async function delegationOf(section: Dcache, config: Config) {
  const { send, capabilities, otherwise, exchange, service } = section
  const issuerOf = (name: string): string => {
    const found = config.issuers.find((issuer) => issuer.name === name)
    if (!found) throw new StorageError('invalid', `there is no issuer ${name}`)
    return found.issuer
  }
  return {
    accepts: section.accepts.map(({ issuer, audiences }) => ({ issuer: issuerOf(issuer), audiences })),
    ...{ send, capabilities, otherwise },
    ...(exchange && { exchange: await exchangeOf(exchange, issuerOf) }),
    ...(service && { service: () => loginOf(service) }),
  }
}

async function exchangeOf(exchange: NonNullable<Dcache['exchange']>, issuerOf: (name: string) => string) {
  const { endpoint, client, secret, issuers, ca, audience, scope, resource, actor } = exchange
  return {
    endpoint: new URL(endpoint),
    client: async () => ({ id: client, secret: await readWord(secret) }),
    issuers: issuers.map(issuerOf),
    ...(audience !== undefined && { audience }),
    ...(scope !== undefined && { scope }),
    ...(resource !== undefined && { resource }),
    ...(actor !== undefined && { actor }),
    ...(ca !== undefined && { ca: await readText(ca) }),
  }
}

async function loginOf({ token, user, password }: NonNullable<Dcache['service']>) {
  if (token) return { scheme: 'Bearer', secret: await readWord(token) } as const
  if (user === undefined || !password) throw new StorageError('invalid', 'the service account is not configured')
  return { scheme: 'Basic', secret: new Secret(`${user}:${(await readWord(password)).reveal()}`) } as const
}
