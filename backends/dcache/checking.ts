/** For `portolan check`: whether the doors answer, who dCache takes us for, and what it offers. */

import { anonymous } from '../../acl/principal.ts'
import type { Secret } from '../../acl/secret.ts'
import type { Call } from '../../gateway/core/call.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Finding } from '../backend.ts'
import { isRecord } from './attributes.ts'
import type { Desk } from './desk.ts'
import type { HttpDoor } from './door.ts'

/** Changes nothing. */
export async function check(desk: Desk): Promise<readonly Finding[]> {
  const login = await desk.ownLogin()
  const findings = [await askDoor(desk.webdav, 'door', login)]
  if (desk.frontend) findings.push(await askFrontend(desk.frontend, login))
  else findings.push(warning('frontend', 'no REST frontend: no ACLs, modes, quotas or extended attributes'))
  const { webdav, pools, insecurePools } = desk.options
  if (webdav.protocol === 'http:') findings.push(warning('tls', 'the WebDAV door is asked without TLS'))
  if (insecurePools) findings.push(warning('tls', 'bytes travel between pools and gateway without TLS'))
  if (pools.length === 0) findings.push(warning('pools', 'no pool hosts are named: redirects are refused'))
  if (!login) findings.push(warning('service', 'no service credential: what a crash leaves cannot be removed'))
  return findings
}

async function askDoor(door: HttpDoor, subject: string, login: Secret | undefined): Promise<Finding> {
  return finding(subject, async () => {
    const response = await door.request({ ...asked(login), method: 'OPTIONS', path: '/' })
    response.discard()
    const server = String(response.headers.server ?? '')
    const name = /^dCache\/[\w.-]{1,32}$/.test(server) ? server : 'a server that does not say it is dCache'
    return `${door.url.origin} answers ${response.status}: ${name}`
  })
}

async function askFrontend(door: HttpDoor, login: Secret | undefined): Promise<Finding> {
  return finding('frontend', async () => {
    const response = await door.request({ ...asked(login), method: 'GET', path: '/user' })
    const json = response.status === 200 ? await response.json() : undefined
    response.discard()
    const status =
      isRecord(json) && json.status === 'AUTHENTICATED' ? 'knows the service credential' : 'knows no caller'
    return `${door.url.origin} answers ${response.status} and ${status}`
  })
}

function asked(login: Secret | undefined) {
  const signal = new AbortController().signal
  const call: Call = { id: 'check', principal: anonymous, protocol: 'internal', from: '127.0.0.1', signal }
  return { call, activities: [], authorization: login ?? 'none', idempotent: true } as const
}

async function finding(subject: string, ask: () => Promise<string>): Promise<Finding> {
  try {
    return { subject, level: 'ok', text: await ask() }
  } catch (error) {
    const { code, message } = StorageError.from(error)
    return { subject, level: 'error', text: `${code}: ${message}` }
  }
}

function warning(subject: string, text: string): Finding {
  return { subject, level: 'warning', text }
}
