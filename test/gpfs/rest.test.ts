/** The management API: ACLs, jobs, pages, and everything it may answer instead. */

import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import type { Acl } from '../../acl/acl.ts'
import { formatEntry } from '../../acl/codec/nfs4-text.ts'
import { Secret } from '../../acl/secret.ts'
import { makeAce } from '../../acl/who.ts'
import { type RestOptions, scaleByRest } from '../../backends/gpfs/rest.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { GpfsDouble, type GpfsSettings } from '../doubles/gpfs/gpfs.ts'
import { ScaleRestDouble, type ScaleRestOptions, send } from '../doubles/gpfs/scale-rest.ts'
import { calm, noQuota } from './world.ts'

const password = 'pass:wörd'

const list: Acl = {
  owner: undefined,
  group: undefined,
  dialect: 'gpfs',
  aces: [
    makeAce('allow', 0x3, 0x1e01ff, 'OWNER@'),
    makeAce('deny', 0, 0x6, { user: 'DESY\\bob' }),
    makeAce('allow', 0x43, 0x1200a9, { group: 'cms' }),
    makeAce('allow', 0, 0x120088, 'EVERYONE@'),
  ],
}

async function makeWorld(t: Test, more: Partial<GpfsSettings> = {}, server: Partial<ScaleRestOptions> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'portolan-scale-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const top = join(directory, 'tree')
  await mkdir(top)
  const names = { passwd: { [String(process.getuid?.())]: 'keeper' }, group: {} }
  const settings = { fileSystem: 'gpfs0', mountPoint: top, names, ...more }
  const double = await GpfsDouble.make(join(directory, 'double'), settings)
  const api = await ScaleRestDouble.start({ double, settings, user: 'portolan', password, ...server })
  t.teardown(() => api.close())
  const scale = (options: Partial<RestOptions> = {}) => {
    const made = scaleByRest({
      url: api.url,
      ca: api.ca,
      user: 'portolan',
      password: async () => new Secret(password),
      fileSystem: 'gpfs0',
      mountPoint: top,
      deadline: 20_000,
      pauses: [1, 1],
      ...options,
    })
    t.teardown(() => made.close())
    return made
  }
  return { api, double, top, scale }
}

t.test('a list is written by a job and read back the same', async (t) => {
  const { api, top, scale } = await makeWorld(t, {}, { looks: 2 })
  const { acls } = scale({ domain: 'desy.de' })
  for (const name of ['plain', "it's (odd)! *~ ü %2F +&=#?", '%2e%2e']) {
    await mkdir(join(top, name))
    await acls.write(join(top, name), list, calm)
    const { acl, writable } = await acls.read(join(top, name), calm)
    t.same(acl.aces.map(formatEntry), list.aces.map(formatEntry).with(2, 'A:fdg:cms@desy.de:rxtncy'), name)
    t.same([acl.owner, acl.group, writable], ['keeper@desy.de', String(process.getgid?.()), true])
  }
  await mkdir(join(top, 'a/b'), { recursive: true })
  await acls.read(join(top, 'a/b'), calm)
  t.ok(api.asked.some(({ path }) => path === '/filesystems/gpfs0/acl/a%2Fb'))
  await acls.read(top, calm)
  t.ok(api.asked.some(({ path }) => path === '/filesystems/gpfs0/acl/%2F'))
  t.ok(
    api.asked.filter(({ path }) => path.startsWith('/jobs/')).length >= 6,
    'jobs were looked at until they were done',
  )
})

t.test('only paths of the file system are asked about', async (t) => {
  const { api, top, scale } = await makeWorld(t)
  const { acls } = scale()
  for (const path of [
    '',
    '/',
    'a',
    `${top}2/a`,
    `${top}/../a`,
    `${top}/a/..`,
    `${top}/.`,
    `${top}/\0`,
    `${top}/\ud800`,
  ]) {
    await t.rejects(acls.read(path, calm), { code: 'invalid' }, JSON.stringify(path))
    await t.rejects(acls.write(path, list, calm), { code: 'invalid' })
  }
  await t.rejects(acls.write(top, { ...list, aces: [makeAce('allow', 0x80, 1, 'OWNER@')] }, calm), {
    code: 'unsupported',
  })
  t.same(api.asked, [])
  t.throws(() => scale({ url: new URL('http://127.0.0.1/scalemgmt/v2') }), { code: 'invalid' })
  t.throws(() => scale({ fileSystem: '../x' }), { code: 'invalid' })
})

t.test('inherited entries of others are read and not written back', async (t) => {
  const { top, scale } = await makeWorld(t)
  const { acls } = scale()
  await acls.write(top, list, calm)
  await mkdir(join(top, 'new'))
  const { acl, writable } = await acls.read(join(top, 'new'), calm)
  t.notOk(writable)
  t.ok(acl.aces.length > 0)
})

t.test('settings, filesets, quotas and snapshots come in pages of any size', async (t) => {
  const user = { ...noQuota, quotaType: 'USR', id: 1001, name: 'bob', filesetname: 'root' } as const
  const many = Array.from({ length: 25 }, (_, i) => ({
    name: `set${i}`,
    path: `/gpfs/fs/set${i}`,
    independent: i % 2 === 0,
  }))
  const { api, scale } = await makeWorld(
    t,
    {
      mountPoint: '/gpfs/fs',
      aclSemantics: 'all',
      filesets: [...many, { name: 'off' }],
      quotas: [
        { ...user, blockUsage: 2048, blockLimit: 4096, filesUsage: 3 },
        { ...user, filesetname: 'set1', blockUsage: 1 },
        { ...noQuota, quotaType: 'FILESET', id: 1, name: 'set1', blockInDoubt: 4 },
      ],
      snapshots: [
        { name: 'daily', created: '2021-01-20T00:30:02Z' },
        { name: 'going', created: '2021-01-20T00:30:02Z', status: 'Deleting' },
        { name: 'old', created: '2021-01-01T00:00:00Z', fileset: 'set1' },
      ],
    },
    { pageSize: 4 },
  )
  const { info } = scale({ mountPoint: '/data/dust' })
  t.same(await info.settings(calm), { aclSemantics: 'all', mountPoint: '/gpfs/fs' })
  const filesets = await info.filesets(calm)
  t.equal(filesets.length, 26)
  t.same(filesets[25], { name: 'set24', junction: '/data/dust/set24', independent: true })
  t.same(await info.quotas({ type: 'user', name: 'bob' }, calm), {
    bytes: { used: 2 ** 21, softLimit: undefined, hardLimit: 2 ** 22, inDoubt: 0 },
    files: { used: 3, softLimit: undefined, hardLimit: undefined, inDoubt: 0 },
  })
  t.equal((await info.quotas({ type: 'user', name: '1001' }, calm))?.bytes.used, 2 ** 21)
  t.equal((await info.quotas({ type: 'user', name: 'bob', fileset: 'set1' }, calm))?.bytes.used, 1024)
  t.equal((await info.quotas({ type: 'fileset', name: 'set1' }, calm))?.bytes.inDoubt, 4096)
  t.equal(await info.quotas({ type: 'group', name: 'cms' }, calm), undefined)
  await t.rejects(info.quotas({ type: 'user', name: 'a,quotaType=GRP' }, calm), { code: 'invalid' })
  await t.rejects(info.quotas({ type: 'user', name: 'bob', fileset: 'none' }, calm), { code: 'not-found' })
  t.same(await info.snapshots(undefined, calm), [{ name: 'daily', created: 1611102602_000_000_000n }])
  t.same(await info.snapshots('set1', calm), [{ name: 'old', created: 1609459200_000_000_000n }])
  await t.rejects(info.snapshots('none', calm), { code: 'not-found' })
  t.ok(api.asked.some(({ query }) => query.get('lastId') === '24'))
})

/** Announces more than it sends, and hangs up. */
function promiseTooMuch(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': 99 }).write('{}', () => response.destroy())
}

t.test('a status code is an error of the gateway, whichever place it stands in', async (t) => {
  const { api, top, scale } = await makeWorld(t)
  const { acls } = scale()
  const secret = 'of the secret kind'
  const rows: ReadonlyArray<readonly [string, string, (response: ServerResponse) => void]> = [
    ['400', 'invalid', (response) => send(response, 400, { message: secret })],
    ['400 with a code', 'not-found', (response) => send(response, 400, { message: `EFSSP0010C ${secret}` })],
    ['401', 'unavailable', (response) => send(response, 401, { message: secret })],
    ['403', 'denied', (response) => send(response, 403, { message: secret })],
    ['404', 'not-found', (response) => send(response, 404, { message: secret })],
    ['405', 'unsupported', (response) => send(response, 405, { message: secret })],
    ['500', 'unavailable', (response) => send(response, 500, { message: secret })],
    ['503', 'unavailable', (response) => send(response, 503, { message: secret })],
    ['503 in words', 'unavailable', (response) => response.writeHead(503).end('<html>busy</html>')],
    ['404 in words', 'not-found', (response) => response.writeHead(404).end('<html>no</html>')],
    ['a success that says otherwise', 'denied', (response) => response.end('{"status":{"code":403,"message":""}}')],
    ['a redirect', 'unavailable', (response) => response.writeHead(302, { location: 'https://127.0.0.1:1/' }).end()],
    ['HTML', 'unavailable', (response) => response.end('<html>hello</html>')],
    ['nothing', 'unavailable', (response) => response.end()],
    ['a list', 'unavailable', (response) => response.end('[]')],
    ['no envelope', 'unavailable', (response) => response.end('{"acl":{"type":"NFSv4","entries":[]}}')],
    ['no ACL', 'unavailable', (response) => send(response, 200, {})],
    ['a POSIX ACL', 'unavailable', (response) => send(response, 200, { acl: { type: 'POSIX', entries: [] } })],
    ['too long a promise', 'unavailable', promiseTooMuch],
    ['a cut answer', 'unavailable', (response) => response.write('{"status":', () => response.destroy())],
    ['a hang-up', 'unavailable', (response) => response.destroy()],
  ]
  for (const [what, code, answer] of rows) {
    api.interfere = ({ path }, response) => {
      if (!path.includes('/acl/')) return false
      answer(response)
      return true
    }
    const error = await acls.read(top, calm).catch((thrown: unknown) => thrown)
    if (!(error instanceof StorageError)) throw error
    t.equal(error.code, code, what)
    t.notMatch(`${inspect(error)}${StorageError.reasonOf(error)?.text}`, /secret|Basic|pass/, 'without its words')
  }
  api.interfere = undefined
  t.ok((await acls.read(top, calm)).writable)
})

t.test('a GET is tried again where the API says that this may help, a PUT is not', async (t) => {
  const { api, top, scale } = await makeWorld(t)
  const { acls } = scale()
  let bad = 2
  api.interfere = (_asked, response) => {
    if (bad-- <= 0) return false
    send(response, 503, { message: 'busy' })
    return true
  }
  t.ok((await acls.read(top, calm)).writable)
  bad = 1
  api.asked.length = 0
  await t.rejects(acls.write(top, list, calm), { code: 'unavailable' })
  t.same(
    api.asked.map(({ method }) => method),
    ['PUT'],
  )
})

t.test('a job counts when it is completed and its command ended with 0', async (t) => {
  const { api, top, scale } = await makeWorld(t, { unknownNames: ['ghost'] })
  const { acls } = scale()
  const ends: ReadonlyArray<readonly [string, unknown, readonly string[], string]> = [
    ['COMPLETED', 1, [], 'unavailable'],
    ['COMPLETED', undefined, [], 'unavailable'],
    ['COMPLETED', '0', [], 'unavailable'],
    ['FAILED', 0, [], 'unavailable'],
    ['CANCELLED', 0, [], 'unavailable'],
    ['FAILED', 2, ['mmputacl: [E:2] no such secret'], 'not-found'],
    ['FAILED', 1, ['EFSSP0010C no such secret'], 'not-found'],
    ['FAILED', 13, ['[E:13] secret'], 'denied'],
  ]
  for (const [status, exitCode, stderr, code] of ends) {
    api.outcome = { status, exitCode, stderr }
    const error = await acls.write(top, list, calm).catch((thrown: unknown) => thrown)
    if (!(error instanceof StorageError)) throw error
    t.equal(error.code, code, `${status} ${exitCode} ${stderr}`)
    t.notMatch(inspect(error), /secret/)
  }
  api.outcome = undefined
  const ghost = { ...list, aces: [makeAce('allow', 0, 1, { user: 'ghost' })] }
  await t.rejects(acls.write(top, ghost, calm), { code: 'invalid' }, 'what the command refuses')
  for (const jobs of [[], [{}], [{ jobId: '../filesystems' }], [{ jobId: 1.5 }], 'none', [null]]) {
    api.interfere = ({ method }, response) => {
      if (method !== 'PUT') return false
      send(response, 202, { jobs })
      return true
    }
    await t.rejects(acls.write(top, list, calm), { code: 'unavailable' }, JSON.stringify(jobs))
  }
  api.interfere = ({ method }, response) => {
    if (method !== 'PUT') return false
    send(response, 202, {})
    return true
  }
  await t.rejects(acls.write(top, list, calm), { code: 'unavailable' }, 'accepted, and no job to look at')
  api.interfere = undefined
  await acls.write(top, list, calm)
})

t.test('pages that lie have an end, and no credential goes where they point', async (t) => {
  const { api, scale } = await makeWorld(t)
  const { info } = scale()
  const nexts = [
    'https://evil.example.org/scalemgmt/v2/filesystems/gpfs0/filesets?lastId=7',
    '?lastId=7',
    'https://localhost/no-id',
    'http://[',
    7,
    {},
  ]
  for (const next of nexts) {
    api.interfere = (_asked, response) => {
      send(response, 200, { filesets: [], paging: { next } })
      return true
    }
    api.asked.length = 0
    await t.rejects(info.filesets(calm), { code: 'unavailable' }, JSON.stringify(next))
    t.ok(api.asked.length <= 2)
    t.ok(api.asked.every(({ path }) => path === '/filesystems/gpfs0/filesets'))
  }
  let id = 0
  api.interfere = (_asked, response) => {
    send(response, 200, { filesets: [], paging: { next: `?lastId=${++id}` } })
    return true
  }
  await t.rejects(info.filesets(calm), { code: 'unavailable' })
  t.ok(id <= 501, `${id} pages were asked for`)
})

t.test('an answer without an end is cut at its limit', async (t) => {
  const { api, scale } = await makeWorld(t)
  const { info } = scale()
  api.interfere = (_asked, response) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65536, 0x20)));
      if (!response.destroyed) response.once('drain', more)
    }
    response.on('error', () => {})
    more()
    return true
  }
  await t.rejects(info.filesets(calm), { code: 'unavailable' })
})

t.test('who waits too long, goes away or closes gets an answer at once', async (t) => {
  const { api, top, scale } = await makeWorld(t)
  api.interfere = () => true
  await t.rejects(scale({ deadline: 300 }).acls.read(top, calm), { code: 'unavailable' })
  const caller = new AbortController()
  const patient = scale()
  const asked = patient.acls.read(top, caller.signal)
  asked.catch(() => {})
  while (api.asked.length < 4) await sleep(5)
  caller.abort()
  await t.rejects(asked, { code: 'cancelled' })
  const [first, second] = [scale({ atOnce: 1, waiting: 3 }), patient.acls.read(top, calm)]
  second.catch(() => {})
  await patient.close()
  await t.rejects(second, { code: 'unavailable' })
  await t.rejects(patient.acls.read(top, calm), { code: 'unavailable' })
  const waiting = [1, 2].map(() => first.acls.read(top, calm))
  for (const each of waiting) each.catch(() => {})
  await t.rejects(first.acls.read(top, calm), { code: 'busy' })
  await first.close()
  for (const each of waiting) await t.rejects(each, { code: 'unavailable' })
})

t.test('a job that never ends is unavailable', async (t) => {
  const { top, scale } = await makeWorld(t, {}, { looks: 1_000_000 })
  await t.rejects(scale({ deadline: 1200 }).acls.write(top, list, calm), { code: 'unavailable' })
})

t.test('an unverified server, a wrong password and one that cannot be read are no callers matter', async (t) => {
  const { api, top, scale } = await makeWorld(t)
  await t.rejects(scale({ ca: undefined }).acls.read(top, calm), { code: 'unavailable' })
  t.same(api.asked, [], 'nothing is sent to it')
  const other = new URL(api.url)
  other.hostname = 'localhost'
  await t.rejects(scale({ url: other }).acls.read(top, calm), { code: 'unavailable' }, 'another name')
  t.same(api.asked, [])
  await t.rejects(scale({ password: async () => new Secret('wrong') }).acls.read(top, calm), { code: 'unavailable' })
  const unreadable = scale({ password: () => Promise.reject(new Error('secret file')) }).acls
  const error = await unreadable.read(top, calm).catch((thrown: unknown) => thrown)
  t.match(error, { name: 'StorageError', code: 'unavailable' })
  t.notMatch(inspect(error), /secret file/)
})
