/**
 * Header fields that no client would send, on requests that clients do send: never a failure of ours. ROUNDS and SEED
 * make it another run.
 */

import { Agent, request } from 'node:http'
import t from 'tap'
import { metadataOf, offsetStream, partialUpload } from './sending.ts'
import { openUploads } from './world.ts'

t.setTimeout(3_600_000)

const rounds = Number(process.env.ROUNDS ?? 5000)
const seed = Number(process.env.SEED ?? 1)

let state = seed | 1
/** xorshift32: the same numbers for the same seed. */
function below(limit: number): number {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) % limit
}

function of<T>(choices: readonly [T, ...T[]]): T {
  return choices[below(choices.length)] ?? choices[0]
}

const numbers = [
  ...['0', '1', '3', '5', '11', '-1', '-0', '+3', '03', '3.0', '1e3', '1e+21', '0x3', 'NaN', 'Infinity', ''],
  ...['9007199254740991', '9007199254740993', '999999999999999', '1000000000000000', '9'.repeat(400)],
  ...['3;a=b', '3, 3', '3,4', '"3"', '?1', ' 3', '3\t', '\xff'],
] as const
const paths = [
  '/data/f',
  '/data/',
  '/',
  '',
  '/data/../x',
  '/data/x\0',
  '/none/x',
  'https://h/x',
  '/.portolan/x',
] as const
const metadata = [
  ...paths.map((path) => metadataOf({ path })),
  ...[',', 'path', 'path ', 'path !!', 'path L2RhdGEvZg', 'path L2RhdGEvZg==,path L2RhdGEvZg==', '__proto__ YQ=='],
  ...['constructor', 'toString YQ==,path L2RhdGEvZg==', `${'k'.repeat(8000)} YQ==`, 'a,'.repeat(3000), '\xe9 YQ=='],
  metadataOf({ path: `/data/${'n'.repeat(300)}` }),
  metadataOf({ path: '/data'.repeat(1000) }),
  metadataOf({ path: Buffer.from([0x2f, 0xff]) }),
  metadataOf({ filename: 'f', name: 'g' }),
  metadataOf({ filename: '../f' }),
]
const booleans = ['?0', '?1', '?2', '1', 'true', '?1;x', '?0, ?1', '', '\x80'] as const

/** What a field may be; the first three quarters of the time as it should. */
const fields: Readonly<Record<string, readonly [string, ...string[]]>> = {
  'Tus-Resumable': ['1.0.0', '1.0.0', '1.0.0', '0.2.2', '', '1.0.0, 1.0.0'],
  'Upload-Length': [...numbers],
  'Upload-Offset': [...numbers],
  'Upload-Defer-Length': ['1', '0', '1, 1', ''],
  'Upload-Metadata': [metadata[0] ?? '', ...metadata],
  'Upload-Complete': [...booleans],
  'Upload-Incomplete': [...booleans],
  'Upload-Draft-Interop-Version': ['8', '6', '3', '99', 'x', '8, 8'],
  'Upload-Checksum': ['crc32 NSRBwg==', 'sha1 AAAA', 'md5', '', 'crc32 !', 'x y z', `sha1 ${'A'.repeat(9000)}`],
  'Upload-Concat': ['partial', 'final;/a /b', ''],
  'Content-Type': [offsetStream, partialUpload, 'text/plain', '', ';', 'application/offset+octet-stream; x=y'],
  'X-HTTP-Method-Override': ['PATCH', 'DELETE', 'HEAD', 'TRACE', 'get', ''],
  'Content-Digest': ['sha-256=:AAAA:', 'md5=:kAFQmDzST7DWlj99KOF/cg==:', 'x', ''],
  'Repr-Digest': ['sha-256=:AAAA:', 'x=1', ''],
  'OC-Checksum': ['MD5:00', 'ADLER32:024d0127', 'MD5:900150983cd24fb0d6963f7d28e17f72'],
  'X-OC-Mtime': ['1700000000', '-1', 'x', '1e9', '9'.repeat(30)],
  'If-None-Match': ['*', '"x"', 'x'],
  'If-Match': ['*', '"x"', ''],
  If: ['(<x>)', '(', '</data/f> (<urn:x>)'],
  'X-Forwarded-Proto': ['https', 'ftp'],
  Forwarded: ['host=evil.example', '"'],
  'Content-Encoding': ['identity', 'gzip'],
  'Content-Range': ['bytes 0-2/3'],
}
const names = Object.keys(fields) as [string, ...string[]]

const tus = { 'Tus-Resumable': '1.0.0' }
const tusPart = { ...tus, 'Content-Type': offsetStream, 'Upload-Offset': '0' }
const part = { 'Content-Type': partialUpload, 'Upload-Offset': '0', 'Upload-Complete': '?0' }
const made = { ...tus, 'Upload-Length': '3', 'Upload-Metadata': metadataOf({ path: '/data/f' }) }

interface Sort {
  readonly method: string
  /** Undefined: the last upload that was made. */
  readonly path?: string
  readonly headers: Readonly<Record<string, string>>
}

/** What clients send. */
const sorts: readonly [Sort, ...Sort[]] = [
  { method: 'POST', path: '/.portolan/uploads/', headers: made },
  { method: 'POST', path: '/.portolan/uploads/', headers: { ...made, 'Content-Type': offsetStream } },
  { method: 'POST', path: '/.portolan/uploads/data/', headers: { ...made, 'Upload-Metadata': 'filename Zg==' } },
  { method: 'POST', path: '/.portolan/uploads/data/g', headers: { ...tus, 'Upload-Defer-Length': '1' } },
  { method: 'POST', path: '/.portolan/uploads/data/g', headers: { 'Upload-Complete': '?0' } },
  { method: 'PATCH', headers: tusPart },
  { method: 'PATCH', headers: { ...tusPart, 'Upload-Length': '3' } },
  { method: 'POST', headers: { ...tusPart, 'X-HTTP-Method-Override': 'PATCH' } },
  { method: 'HEAD', headers: tus },
  { method: 'DELETE', headers: tus },
  { method: 'PUT', path: '/data/f', headers: { 'Upload-Complete': '?0', 'Upload-Length': '6' } },
  { method: 'PUT', path: '/data/f', headers: { 'Upload-Complete': '?1' } },
  { method: 'PATCH', headers: part },
  { method: 'PATCH', headers: { ...part, 'Upload-Complete': '?1' } },
  { method: 'HEAD', headers: {} },
  { method: 'GET', headers: {} },
  { method: 'DELETE', headers: {} },
  { method: 'OPTIONS', headers: {} },
  { method: 'PUT', headers: {} },
]

/** A third of the fields are left out or are something else, now and then one comes that does not belong there. */
function mutated(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(headers).filter(() => below(12) > 0)
  const told = kept.map(([name, value]) => [name, below(4) > 0 ? value : of(fields[name] ?? [''])])
  const found = Object.fromEntries(told)
  for (let more = below(3); more > 0; more--) {
    const name = of(names)
    found[name] = of(fields[name] ?? [''])
  }
  return found
}

t.test(`${rounds} requests of seed ${seed} are never a failure of ours`, async (t) => {
  const world = await openUploads(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  let known = '/.portolan/uploads/AAAAAAAAAAAAAAAAAAAAAAAA'
  const statuses: Record<number, number> = {}
  for (let round = 0; round < rounds; round++) {
    const { method, path = below(50) > 0 ? known : `${known}x`, headers } = of(sorts)
    const body = ['GET', 'HEAD'].includes(method) ? undefined : of(['', 'abc', 'abc', 'hello world'])
    const sent = { method, path, headers: mutated(headers), body }
    const { status, location } = await send(world.port, agent, sent)
    statuses[status] = (statuses[status] ?? 0) + 1
    if (status >= 500) t.fail(`${status} for ${JSON.stringify(sent)}`)
    if (location?.includes('/.portolan/uploads/')) known = new URL(location).pathname
  }
  const enough = [200, 201, 204, 400, 404, 409, 412, 413, 415].every((status) => (statuses[status] ?? 0) > 0)
  t.ok(enough && (statuses[201] ?? 0) > rounds / 40, 'and some are what they should be', { statuses })
})

interface Raw {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

function send(port: number, agent: Agent, { method, path, headers, body }: Raw) {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; location: string | undefined }>()
  const all = { Authorization: 'Bearer alice', ...(body !== undefined && { 'Content-Length': String(body.length) }) }
  const call = request({ host: '127.0.0.1', port, method, path, agent, headers: { ...all, ...headers } })
  call.once('response', (response) => {
    response.resume()
    const { statusCode: status = 0, headers } = response
    response.once('end', () => resolve({ status, location: headers.location }))
  })
  call.once('error', reject)
  call.end(body)
  return promise
}
