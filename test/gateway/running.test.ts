/** A gateway that changes, and one that ends, while transfers run. */

import { readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { mountOf, startTestGateway, type TestGateway } from './harness.ts'
import { makeLab, makeOpen } from './tree.ts'

t.setTimeout(180_000)

/** More than sockets and buffers on the way hold. */
const size = 64 * 1024 * 1024

function start(t: Test, workers = 1): Promise<TestGateway> {
  return startTestGateway(t, {
    workers,
    more: { siteName: 'LAB-T2' },
    mounts: [
      {
        path: '/lab',
        make: (top) => {
          const tree = makeLab(top)
          tree.file('alice/big', 'alice', Buffer.alloc(size, 'abcdefgh'))
        },
      },
    ],
  })
}

let shared: Promise<{ readonly gateway: TestGateway; readonly written: string }> | undefined

/** One gateway for the tests that end none, with the configuration it was started with. */
async function running(): Promise<TestGateway> {
  shared ??= start(t, 2).then((gateway) => ({ gateway, written: readFileSync(gateway.configFile, 'utf8') }))
  const { gateway, written } = await shared
  if (readFileSync(gateway.configFile, 'utf8') !== written) {
    gateway.write(written)
    await gateway.reload()
  }
  return gateway
}

/** Begins a download and waits for its first bytes only. */
async function beginDownload(gateway: TestGateway): Promise<IncomingMessage> {
  const response = await gateway.open({ path: '/lab/alice/big', user: 'alice', timeout: 60_000 })
  await new Promise((resolve) => response.once('readable', resolve))
  return response
}

/** Begins an upload, which is under way once the gateway has asked for its body; its status comes when `end` has been called. */
async function beginUpload(gateway: TestGateway, path: string) {
  const body = new PassThrough()
  const { promise: underWay, resolve: asked } = Promise.withResolvers<void>()
  const headers = { Expect: '100-continue' }
  const answer = gateway.request({ method: 'PUT', path, user: 'alice', body, timeout: 60_000, headers, asked })
  answer.catch(() => {})
  await Promise.race([underWay, answer])
  body.write('first ')
  return { answer, end: (text: string) => body.end(text) }
}

/** All workers have answered something after it. */
async function settled(gateway: TestGateway): Promise<void> {
  for (let round = 0; round < 4; round++) await gateway.get('/lab/alice/none', 'alice')
}

t.test('grid clients are told the name of the site', async (t) => {
  const { status, json } = await (await running()).request({ path: '/.well-known/wlcg-tape-rest-api' })
  t.equal(status, 200)
  t.equal(json().sitename, 'LAB-T2')
})

t.test('SIGHUP adds a mount and an account, and a running transfer goes on', async (t) => {
  const gateway = await running()
  const download = await beginDownload(gateway)
  const upload = await beginUpload(gateway, '/lab/alice/upload')
  await settled(gateway)
  const before = gateway.pids()
  t.equal((await gateway.get('/more/readme.txt', 'alice')).status, 404)
  t.equal((await gateway.request({ path: '/lab/', token: await gateway.token('alice', { sub: 'dave' }) })).status, 403)

  makeOpen(gateway.tree('/more'))
  const accounts = join(gateway.directory, 'accounts.yaml')
  const known = parse(readFileSync(accounts, 'utf8'))
  known.users.dave = { uid: 64_819, gid: 64_819 }
  writeFileSync(accounts, stringify(known))
  gateway.configure((config) => {
    config.mounts.push(mountOf(gateway.directory, { path: '/more' }))
    config.mapping = [...(config.mapping as unknown[]), { issuer: 'lab-issuer', subject: 'dave', account: 'dave' }]
  })
  t.match(await gateway.reload(), { msg: 'the configuration was taken over' })
  for (let worker = 0; worker < 4; worker++) {
    t.equal((await gateway.get('/more/readme.txt', 'alice')).text, 'welcome', 'every worker has the mount')
    const dave = await gateway.token('alice', { sub: 'dave' })
    t.equal((await gateway.request({ path: '/lab/', token: dave })).status, 200, 'and the account')
  }
  t.same(gateway.pids(), before, 'nobody was restarted')

  upload.end('second')
  t.equal((await upload.answer).status, 201, 'the upload has ended well')
  t.equal((await gateway.get('/lab/alice/upload', 'alice')).text, 'first second')
  t.equal((await buffer(download)).length, size, 'and so has the download')
})

t.test('SIGHUP with a bad file keeps the old configuration and says so', async (t) => {
  const gateway = await running()
  const good = readFileSync(gateway.configFile, 'utf8')
  gateway.write(`${good}colour: red\n`)
  t.match(await gateway.reload(), { msg: 'bad configuration; the old one stays', mistake: /colour/ })
  t.equal((await gateway.get('/lab/', 'alice')).status, 200)
  gateway.write('mounts: [')
  t.match(await gateway.reload(), { msg: 'bad configuration; the old one stays' })
  t.equal((await gateway.get('/lab/', 'alice')).status, 200)
  gateway.write(good.replace('accounts.yaml', 'nothing.yaml'))
  t.match(await gateway.reload(), { level: 'error', msg: /the old one stays/ })
  t.equal((await gateway.get('/lab/', 'alice')).status, 200)
  gateway.write(good)
  t.match(await gateway.reload(), { msg: 'the configuration was taken over' })
})

t.test('SIGHUP takes a mount away without cutting what still reads from it', async (t) => {
  const gateway = await running()
  const download = await beginDownload(gateway)
  makeOpen(gateway.tree('/other'))
  gateway.configure((config) => {
    config.mounts = [mountOf(gateway.directory, { path: '/other' })]
  })
  t.match(await gateway.reload(), { msg: 'the configuration was taken over' })
  t.equal((await gateway.get('/lab/alice/big', 'alice')).status, 404)
  t.equal((await buffer(download)).length, size)
})

t.test('SIGTERM lets a running download and upload finish, and nothing new in', async (t) => {
  const gateway = await start(t, 2)
  const download = await beginDownload(gateway)
  const upload = await beginUpload(gateway, '/lab/alice/upload')
  await settled(gateway)
  const stopped = gateway.stop()
  await gateway.logged('ending; transfers may finish')
  await t.rejects(refused(gateway), 'no connection is taken any more')
  upload.end('second')
  t.equal((await upload.answer).status, 201)
  t.equal((await buffer(download)).length, size)
  await stopped
  t.pass('it has ended with status 0 and left no process')
  t.equal(readFileSync(join(gateway.tree('/lab'), 'alice/upload'), 'utf8'), 'first second')
})

/** Listeners are closed some moments after the signal. */
async function refused(gateway: TestGateway): Promise<void> {
  for (let tries = 0; tries < 500; tries++) await gateway.get('/lab/', 'alice')
}

t.test('SIGTERM ends what does not finish in its time, and leaves no trace of it', async (t) => {
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
    limits: { shutdownTimeout: '300ms' },
  })
  const upload = await beginUpload(gateway, '/lab/alice/upload')
  await settled(gateway)
  await gateway.stop()
  await t.rejects(upload.answer, 'the sender learns that it was cut')
  await gateway.start()
  t.equal((await gateway.get('/lab/alice/upload', 'alice')).status, 404)
})

t.test('a worker that dies is replaced, and the others answer meanwhile', async (t) => {
  const gateway = await start(t, 2)
  const [, ...workers] = gateway.pids()
  process.kill(workers[0] ?? -1, 'SIGKILL')
  await gateway.logged('a worker was replaced')
  for (let round = 0; round < 8; round++) t.equal((await gateway.get('/lab/', 'alice')).status, 200)
  t.equal(gateway.pids().length, 3)
})
