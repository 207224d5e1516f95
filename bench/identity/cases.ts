/** CPU for one authentication, from the header as it came to the principal. */

import { Secret } from '../../acl/secret.ts'
import { parseAuthorization } from '../../gateway/http/authenticate.ts'
import { authenticate } from '../../gateway/s3/authentication.ts'
import { keyDesk } from '../../gateway/s3/key-lookup.ts'
import { sign } from '../../test/s3-door/signing.ts'
import type { Figure } from '../report.ts'
import { accessKey, password, type Setting, startIdentity, userName } from './setting.ts'

const aKnown = { atMost: 60 }
const aNew = { atMost: 400 }

/** Credentials that were seen before. */
export async function known(): Promise<readonly Figure[]> {
  const setting = await startIdentity(1)
  try {
    return [
      { what: 'a known bearer token', ...(await microseconds(200_000, await byToken(setting))), goal: aKnown },
      { what: 'a session of a browser', ...(await microseconds(50_000, await bySession(setting))), goal: aKnown },
      ...(await byTicket(setting)),
      { what: 'a password that is known to be right', ...(await microseconds(50_000, byPassword(setting))) },
      { what: 'a signature of S3', ...(await microseconds(20_000, bySignature(setting))), goal: aKnown },
    ]
  } finally {
    await setting.close()
  }
}

/** Tokens that come for the first time. */
export async function unknown(): Promise<readonly Figure[]> {
  const users = 400
  const setting = await startIdentity(users)
  try {
    const tokens = await Promise.all(
      Array.from({ length: users * (rounds + 1) }, (_, at) => setting.token(userName(at % users))),
    )
    const next = tokens.values()
    const learn = () => setting.service.authenticate(parseAuthorization(`Bearer ${next.next().value}`))
    return [{ what: 'a new token (ES256)', ...(await microseconds(users, learn)), goal: aNew }]
  } finally {
    await setting.close()
  }
}

const rounds = 5

/** Of CPU for one run: the best of some rounds, since what is measured is not what else the machine does. */
async function microseconds(times: number, run: () => Promise<unknown>): Promise<Pick<Figure, 'value' | 'unit'>> {
  let best = Number.POSITIVE_INFINITY
  for (let round = -1; round < rounds; round++) {
    const start = process.cpuUsage()
    for (let at = 0; at < times; at++) await run()
    const { user, system } = process.cpuUsage(start)
    if (round >= 0) best = Math.min(best, (user + system) / times)
  }
  return { value: best, unit: 'µs' }
}

async function byToken({ service, token }: Setting): Promise<() => Promise<unknown>> {
  const header = `Bearer ${await token(userName(0))}`
  return () => service.authenticate(parseAuthorization(header))
}

async function bySession({ service }: Setting): Promise<() => Promise<unknown>> {
  const principal = await service.authenticate({ kind: 'basic', user: userName(0), password: new Secret(password) })
  const session = await service.sessions?.begin(principal, { agent: 'bench', from: '127.0.0.1' })
  if (!session) throw new Error('there are no sessions')
  return () => service.authenticate({ kind: 'session', secret: session.secret })
}

/** What stands for a Kerberos ticket, where there is Kerberos. */
async function byTicket({ service, ticket }: Setting): Promise<readonly Figure[]> {
  const secret = await ticket(userName(0))
  if (!secret) return []
  const run = () => service.authenticate({ kind: 'ticket', secret })
  return [{ what: 'a cookie that stands for a Kerberos ticket', ...(await microseconds(200_000, run)), goal: aKnown }]
}

function byPassword({ service }: Setting): () => Promise<unknown> {
  const header = `Basic ${Buffer.from(`${userName(0)}:${password}`).toString('base64')}`
  return () => service.authenticate(parseAuthorization(header))
}

function bySignature({ service }: Setting): () => Promise<unknown> {
  const { s3 } = service
  if (!s3) throw new Error('there are no access keys')
  const target = '/lab/raw/run%20042/event-000123.h5?partNumber=3&uploadId=abcdef'
  const signed = sign({ method: 'GET', target, headers: { host: 's3.bench:8090' }, key: accessKey })
  const rawHeaders = Object.entries(signed.headers).flat()
  const request = { method: 'GET', url: target, rawHeaders }
  return async () => {
    const { key, noteUse } = keyDesk(s3)
    const found = await authenticate(request, { key, region: 'us-east-1', isPrivate: true })
    if (!found.signed) throw new Error('the signature was not looked at')
    await noteUse()
  }
}
