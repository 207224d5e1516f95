/** What somebody who has shown a ticket hands on: keys for S3, macaroons, application passwords. */

import t, { type Test } from 'tap'
import { type Answer, send } from '../gateway/http.ts'
import { type SigningKey, sign } from '../s3-door/signing.ts'
import { noKerberos, realm, startTicketWorld, type TicketWorld, tokensOf } from './world.ts'

t.setTimeout(180_000)
const skip = noKerberos()
const form = { 'Content-Type': 'application/x-www-form-urlencoded' }

let world: TicketWorld
let alice: string

t.before(async () => {
  if (skip) return
  world = await startTicketWorld(t, { s3: { buckets: { lab: '/data' } }, passwords: true })
  alice = await world.login('alice')
})

async function ticket(): Promise<string> {
  const [token = ''] = await tokensOf(world.kdc, alice)
  return `Negotiate ${token}`
}

function assume(
  headers: Readonly<Record<string, string>>,
  more: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const fields = { Action: 'AssumeRole', Version: '2011-06-15', RoleSessionName: 'me', ...more }
  const body = new URLSearchParams({ RoleArn: 'arn:aws:iam::000000000000:role/me', ...fields }).toString()
  return send(world.gateway.s3Port, { method: 'POST', path: '/', headers: { ...form, ...headers }, body })
}

function keyOf({ text }: Answer): SigningKey {
  const read = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1] ?? ''
  return { accessKeyId: read('AccessKeyId'), secret: read('SecretAccessKey'), sessionToken: read('SessionToken') }
}

function get(key: SigningKey, target: string): Promise<Answer> {
  const port = world.gateway.s3Port
  const { headers } = sign({ method: 'GET', target, headers: { host: `127.0.0.1:${port}` }, key })
  return send(port, { path: target, headers })
}

async function api(t: Test, path: string, body: object): Promise<Answer> {
  const answer = await world.gateway.request({
    method: 'POST',
    path: `/.portolan/api/v1/${path}`,
    headers: { Authorization: await ticket(), 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
  t.ok(answer.status < 300, `${path}: ${answer.status} ${answer.text}`)
  return answer
}

t.test('a ticket becomes temporary keys, and so does a password', { skip }, async (t) => {
  const answer = await assume({ Authorization: await ticket() })
  t.equal(answer.status, 200, answer.text)
  t.match(answer.text, /^<AssumeRoleResponse .*<AssumeRoleResult><Credentials>/s)
  t.match(answer.headers['www-authenticate'], /^Negotiate /)
  t.equal((await get(keyOf(answer), '/lab/closed/own')).text, 'for alice alone\n')
  const { headers } = await get(keyOf(answer), '/lab/hello')
  const line = await world.gateway.auditOf({ headers: { 'x-request-id': headers['x-amz-request-id'] } })
  t.match(line, { user: 'alice@lab.example', principal: new RegExp(`^alice@${realm}#s3-key:ASIA`) })
  const basic = `Basic ${Buffer.from('bob:correct-horse-battery-staple').toString('base64')}`
  const bob = await assume({ Authorization: basic })
  t.equal(bob.status, 200)
  t.equal((await get(keyOf(bob), '/lab/closed/own')).status, 403)
  t.equal((await get(keyOf(bob), '/lab/hello')).status, 200)
})

t.test('nobody else gets any', { skip }, async (t) => {
  t.match((await assume({})).text, /MissingAuthenticationToken/)
  t.match((await assume({ Authorization: 'Negotiate YWJj' })).text, /AccessDenied/)
  t.match((await assume({ Authorization: await ticket(), Origin: 'https://evil.example' })).text, /AccessDenied/)
  t.match((await assume({ Authorization: await ticket() }, { WebIdentityToken: 'abcd' })).text, /InvalidParameterValue/)
  const fields = { Action: 'AssumeRole', Version: '2011-06-15', RoleSessionName: 'me' }
  const query = new URLSearchParams({ RoleArn: 'arn:aws:iam::000000000000:role/me', ...fields })
  const open = async (site: string) => {
    const headers = { Authorization: await ticket(), 'Sec-Fetch-Site': site }
    return (await send(world.gateway.s3Port, { path: `/?${query}`, headers })).status
  }
  t.equal(await open('cross-site'), 403, 'nor who makes a browser ask with a link')
  t.equal(await open('none'), 200)
})

t.test('a policy narrows the keys', { skip }, async (t) => {
  const allow = { Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::lab/hello' }
  const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [allow] })
  const key = keyOf(await assume({ Authorization: await ticket() }, { Policy }))
  t.equal((await get(key, '/lab/hello')).status, 200)
  t.equal((await get(key, '/lab/closed/own')).status, 403)
})

t.test('macaroons and application passwords of a ticket open what it opens', { skip }, async (t) => {
  const made = await api(t, 'app-passwords', { name: 'laptop' })
  const { password } = made.json()
  const Authorization = `Basic ${Buffer.from(`alice:${password}`).toString('base64')}`
  t.equal((await world.gateway.get('/data/closed/own', undefined, { Authorization })).status, 200)
  const asked = await world.gateway.request({
    method: 'POST',
    path: '/data/closed/own',
    headers: { Authorization: await ticket(), 'Content-Type': 'application/macaroon-request' },
    body: JSON.stringify({ caveats: ['activity:DOWNLOAD'], validity: 'PT5M' }),
  })
  t.equal(asked.status, 200, asked.text)
  const { macaroon } = asked.json()
  t.equal((await world.gateway.request({ path: '/data/closed/own', token: macaroon })).text, 'for alice alone\n')
  t.equal((await world.gateway.request({ path: '/data/hello', token: macaroon })).status, 403)
})

t.test('a ban of the principal ends what was made in its name', { skip }, async (t) => {
  const key = keyOf(await assume({ Authorization: await ticket() }))
  t.equal((await get(key, '/lab/hello')).status, 200)
  const banned = await world.gateway.request({
    method: 'POST',
    path: '/.portolan/api/v1/bans',
    user: 'admin',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: `principal:alice@${realm}`, note: 'test' }),
  })
  t.ok(banned.status < 300)
  t.equal((await get(key, '/lab/hello')).status, 403)
})
