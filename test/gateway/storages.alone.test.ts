/** One gateway over every kind of storage that a configuration can name, as people meet it: by HTTP, with a token. */

import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatGpfsText } from '../../acl/codec/gpfs-text.ts'
import { parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { type DcacheDouble, startDcache } from '../doubles/dcache/dcache.ts'
import { GpfsDouble } from '../doubles/gpfs/gpfs.ts'
import { noRgw, type Rgw, startRgw } from '../peers/rgw.ts'
import { audience, issuerUrl, startTestGateway, type TestGateway } from './harness.ts'
import { asRoot, domain, named, service, users } from './people.ts'
import { eventually } from './processes.ts'
import { makeLab } from './tree.ts'

t.setTimeout(200_000)

async function startDcacheFor(t: Test, gateway: TestGateway): Promise<DcacheDouble> {
  const people = ['alice', 'bob'] as const
  const dcache = await startDcache({
    users: people.map((name) => ({
      ...{ name, uid: users[name].uid, gids: [users[name].gid] },
      subjects: { lab: name },
    })),
    providers: [
      {
        ...{ name: 'lab', issuer: issuerUrl, audiences: [audience], profile: 'oidc' },
        jwks: JSON.parse(readFileSync(gateway.issuer.jwksFile, 'utf8')),
      },
    ],
    seed: [
      { path: '/lab/alice', directory: true, owner: 'alice', mode: 0o700 },
      { path: '/lab/alice/raw', size: 1_000_000, owner: 'alice', mode: 0o600, locality: 'NEARLINE' },
    ],
    recallDelay: 200,
  })
  t.teardown(() => dcache.close())
  return dcache
}

const dcacheMount = ({ webdav, frontend }: DcacheDouble) => ({
  path: '/dcache',
  deadline: '2s',
  backend: {
    ...{ type: 'dcache', webdav: webdav.href, frontend: frontend.href, root: '/lab' },
    ...{ pools: ['localhost'], insecurePools: true },
    accepts: [{ issuer: 'lab-issuer', audiences: [audience] }],
  },
})

async function gpfsMount(gateway: TestGateway) {
  const top = join(gateway.directory, 'gpfs')
  mkdirSync(top, { mode: 0o700 })
  const scale = join(gateway.directory, 'scale')
  const { bin } = await GpfsDouble.make(scale, { fileSystem: 'lab', mountPoint: top })
  const aces = parseNfs4Text(
    // The files are the gateway's, which works with them as their owner.
    `A:fd:OWNER@:rwaDdxtTnNcCoy\nA:fd:${named('alice')}:rwaDdxtTnNcCoy\nA::EVERYONE@:rxtncy`,
    'directory',
  )
  const input = formatGpfsText({ owner: undefined, group: undefined, aces, dialect: 'gpfs' }, { domain })
  execFileSync(join(bin, 'mmputacl'), [top], { input })
  if (asRoot) execFileSync('chown', ['-R', `${service.uid}:${service.gid}`, scale, top])
  return {
    path: '/gpfs',
    backend: { type: 'gpfs', root: top, fileSystem: 'lab', acls: 'commands', commands: { directory: bin } },
  }
}

function dustMount(gateway: TestGateway) {
  const top = join(gateway.directory, 'dust')
  makeLab(top)
  return {
    path: '/dust',
    enforce: 'gateway',
    note: 'scratch, no backup',
    backend: { type: 'dust', over: 'nfs', root: top, acl: ['xattr'] },
  }
}

function s3Mount(gateway: TestGateway, rgw: Rgw) {
  const secret = join(gateway.directory, 's3.key')
  writeFileSync(secret, `${rgw.secretAccessKey}\n`, { mode: 0o600 })
  if (asRoot) chownSync(secret, service.uid, service.gid)
  return {
    path: '/objects',
    backend: {
      ...{ type: 's3', endpoint: rgw.endpoint.origin, region: rgw.region, bucket: 'lab', prefix: 'data' },
      ...{ accessKeyId: rgw.accessKeyId, secretAccessKey: secret },
      rootAcl: { owner: named('alice'), entries: ['A:fd:OWNER@:rwaDdxtTnNcCoy'] },
    },
  }
}

t.test('what every kind of storage is told by its section of the configuration works', async (t) => {
  const gateway = await startTestGateway(t, { mounts: [{ path: '/lab', make: (top) => void makeLab(top) }] })
  const dcache = await startDcacheFor(t, gateway)
  const rgw = noRgw() === false ? await startRgw() : undefined
  if (rgw) t.teardown(() => rgw.stop())
  else t.comment(`no object store: ${noRgw()}`)
  const mounts = [
    dcacheMount(dcache),
    await gpfsMount(gateway),
    dustMount(gateway),
    ...(rgw ? [s3Mount(gateway, rgw)] : []),
  ]
  if (rgw) await makeBucket(rgw, 'lab')
  gateway.configure((config) => {
    config.mounts.push(...mounts)
  })
  t.match(await gateway.reload(), { msg: 'the configuration was taken over' })

  await t.test('dCache decides by the token of the caller', async (t) => {
    t.equal((await gateway.put('/dcache/alice/f', 'alice', 'of alice')).status, 201)
    t.equal((await gateway.get('/dcache/alice/f', 'alice')).text, 'of alice')
    const refused = await gateway.get('/dcache/alice/f', 'bob')
    t.equal(refused.status, 403)
    t.match(await gateway.auditOf(refused), { outcome: 'refused', reason: { rule: 'dcache' } })
    const why = await gateway.api('explain', { action: 'read', path: '/dcache/alice/f' }, 'bob')
    t.match(why.json(), { allowed: false })
  })

  await t.test('a file on tape is staged and read', async (t) => {
    const early = await gateway.get('/dcache/alice/raw', 'alice')
    t.equal(early.status, 424)
    const { stage } = early.json() as { stage: string }
    t.match(stage, /\/tape\/stage$/)
    const asked = await gateway.request({
      ...{ method: 'POST', path: '/.portolan/api/v1/tape/stage', user: 'alice' },
      body: JSON.stringify({ files: [{ path: '/dcache/alice/raw' }] }),
      headers: { 'content-type': 'application/json' },
    })
    t.equal(asked.status, 201)
    const { requestId } = asked.json() as { requestId: string }
    await eventually(
      async () => (await gateway.get('/dcache/alice/raw', 'alice', { range: 'bytes=0-9' })).status === 206,
      20_000,
      'on disk',
    )
    t.equal((await gateway.get('/dcache/alice/raw', 'alice')).body.length, 1_000_000)
    t.equal((await gateway.get(`/.portolan/api/v1/tape/stage/${requestId}`, 'bob')).status, 404, 'not for others')
  })

  await t.test('GPFS judges by the lists of its commands', async (t) => {
    t.equal((await gateway.put('/gpfs/f', 'alice', 'of alice')).status, 201)
    t.equal((await gateway.get('/gpfs/f', 'alice')).text, 'of alice')
    t.equal((await gateway.get('/gpfs/f', 'bob')).status, 403, 'what is new inherits')
    t.equal((await gateway.put('/gpfs/g', 'bob', 'of bob')).status, 403)
    const acl = (await gateway.api('acl', { path: '/gpfs/f' }, 'alice')).json()
    const { aces } = acl as { aces: { who: string }[] }
    t.ok(
      aces.some(({ who }) => who.includes(named('alice'))),
      JSON.stringify(aces),
    )
  })

  await t.test('DUST serves a tree, and its note is told', async (t) => {
    const { mounts: seen } = (await gateway.api('mounts', {}, 'alice')).json() as { mounts: { path: string }[] }
    t.match(
      seen.find(({ path }) => path === '/dust'),
      { note: 'scratch, no backup' },
    )
    t.equal((await gateway.put('/dust/alice/f', 'alice', 'scratch')).status, 201)
    t.equal((await gateway.get('/dust/alice/f', 'alice')).text, 'scratch')
    t.equal((await gateway.get('/dust/alice/f', 'bob')).status, 403)
  })

  await t.test('an object store keeps files and lists', { skip: noRgw() }, async (t) => {
    t.equal((await gateway.put('/objects/f', 'alice', 'object')).status, 201)
    t.equal((await gateway.get('/objects/f', 'alice')).text, 'object')
    t.equal((await gateway.get('/objects/f', 'bob')).status, 403)
    t.match((await gateway.get('/objects/', 'alice', { accept: 'application/json' })).json(), {
      entries: [{ name: 'f', size: 6 }],
    })
  })

  await t.test('while the door of dCache is silent the others go on', async (t) => {
    const stop = dcache.faults.add({ at: 'door', fault: { type: 'slow-headers' } })
    const alsoStop = dcache.faults.add({ at: 'frontend', fault: { type: 'slow-headers' } })
    const hung = gateway.get('/dcache/alice/f', 'alice')
    const others = await Promise.all(Array.from({ length: 20 }, () => gateway.get('/dust/alice/f', 'alice')))
    t.ok(others.every(({ status }) => status === 200))
    const answer = await hung
    t.equal(answer.status, 503)
    t.ok(answer.headers['retry-after'], 'with a time to come back')
    stop()
    alsoStop()
    await eventually(async () => (await gateway.get('/dcache/alice/f', 'alice')).status === 200, 20_000, 'back again')
  })
  await gateway.stop()
})

async function makeBucket({ endpoint, region, accessKeyId, secretAccessKey }: Rgw, name: string): Promise<void> {
  const { CreateBucketCommand, S3Client } = await import('@aws-sdk/client-s3')
  const client = new S3Client({
    ...{ endpoint: endpoint.origin, region, forcePathStyle: true },
    credentials: { accessKeyId, secretAccessKey },
  })
  await client.send(new CreateBucketCommand({ Bucket: name }))
  client.destroy()
}
