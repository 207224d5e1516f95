/** The demo as a newcomer meets it: started by its command, its printed lines pasted into a shell, ended by signals. */

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { ListBucketsCommand, S3Client } from '@aws-sdk/client-s3'
import t from 'tap'

t.setTimeout(120_000)

const home = resolve(import.meta.dirname, '../..')
const shell = promisify(execFile)

/** One that is free with those after it that the demo takes, and none that the kernel gives to others meanwhile (ip(7)). */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(16_000, 32_000)
    const taken = await Promise.all([0, 1, 4, 5, 9].map((offset) => isTaken(port + offset)))
    if (!taken.includes(true)) return port
  }
}

async function isTaken(port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
    return false
  } catch {
    return true
  } finally {
    server.close()
  }
}

interface Running {
  readonly child: ChildProcess
  /** All it printed until it served. */
  readonly printed: string
  end(signal: NodeJS.Signals): Promise<number | null>
}

async function startDemo(port: number): Promise<Running> {
  const child = spawn(process.execPath, ['gateway/demo.ts', '--port', String(port)], {
    cwd: home,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
  let printed = ''
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk))
  await new Promise<void>((done, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk
      if (printed.includes('worker processes serve')) done()
    })
    child.once('exit', (code) => reject(new Error(`the demo ended with ${code}: ${errors}`)))
  })
  return {
    child,
    printed,
    end: (signal) => {
      child.kill(signal)
      return ended
    },
  }
}

/** What each printed line must give, by the words before it. */
const promises: ReadonlyArray<readonly [string, RegExp]> = [
  ['alice reads a file of her own', /This is alice's own space/],
  ['alice writes to the directory she shares', /^$/],
  ['carol reads it there', /from alice/],
  ['bob reads his own space', /This is bob's own space/],
  ['carol reads the beamtime', /Measured by alice/],
  ['bob is refused there', /"status":\s*403.*explain/s],
  ['... and asks why', /"allowed":\s*false/],
  ['a token for reading group/p01 only', /"group"/],
  ['admin asks why bob is refused', /"allowed":\s*false/],
  ['the last megabyte', /206 1048576 bytes/],
  ['alice writes an object by S3', /^$/],
  ['carol finds it as a file', /by S3/],
  ['bob is refused by S3', /<Code>AccessDenied<\/Code>/],
  ['a token of alice becomes temporary keys', /<SessionToken>\S+<\/SessionToken>/],
  ['carol is told that a file is on tape', /"code":\s*"nearline"/],
  ['... has it brought to disk', /1 of 1 on disk/],
  ['... and reads it', /200 67108864 bytes/],
]

t.test('the printed lines give what they promise', async (t) => {
  const port = await freePort()
  const demo = await startDemo(port)
  t.teardown(() => demo.child.kill('SIGKILL'))
  const lines = demo.printed.split('\n')
  for (const [words, expected] of promises) {
    const at = lines.findIndex((line) => line.startsWith(`# ${words}`))
    const line = lines[at + 1] ?? ''
    t.match(line, /^(curl|\/\S+ \S+cli\.ts) /, `a line for: ${words}`)
    const { stdout } = await shell('sh', ['-c', line.startsWith('curl') ? `${line} -sS` : `${line} 2>&1`], {
      cwd: home,
    })
    t.match(stdout, expected, words)
  }
  const restricted = lines[lines.findIndex((line) => line.includes('group/p01 only')) + 1] ?? ''
  const { stdout } = await shell('sh', ['-c', `${restricted} -sS`])
  t.notMatch(stdout, /"user"/, 'a path-bound token sees only the names that lead to its path')
  if (existsSync('/usr/bin/aws')) {
    const line = lines[lines.indexOf('With the AWS command line, as alice:') + 1] ?? ''
    const { stdout } = await shell('sh', ['-c', line], { env: { PATH: '/usr/bin:/bin' } })
    t.match(stdout, / 5 group\/p01\/s3\.txt$/m, 'objects are listed by the AWS command line')
  }
  t.equal(await demo.end('SIGINT'), 0, 'it ends cleanly on SIGINT')
})

t.test('demo.json holds the same for programs, for its owner alone', async (t) => {
  const demo = await startDemo(await freePort())
  t.teardown(() => demo.child.kill('SIGKILL'))
  const file = `${home}/demo/demo.json`
  t.equal(statSync(file).mode & 0o777, 0o600)
  const { doors, mounts, users } = JSON.parse(readFileSync(file, 'utf8'))
  t.same(mounts, ['/data-dust', '/asap3', '/pnfs/desy.de'])
  for (const name of ['alice', 'bob', 'carol', 'admin']) {
    const whoami = `${doors.http}/.portolan/api/v1/whoami`
    const byToken = await fetch(whoami, { headers: { authorization: `Bearer ${users[name].token}` } })
    t.match(await byToken.json(), { user: `${name}@portolan.demo` }, `${name} by token`)
    const basic = Buffer.from(`${name}:${users[name].password}`).toString('base64')
    const byPassword = await fetch(whoami, { headers: { authorization: `Basic ${basic}` } })
    t.match(await byPassword.json(), { user: `${name}@portolan.demo` }, `${name} by password`)
    const { accessKeyId, secretAccessKey } = users[name].s3
    const buckets = await listBuckets(doors.s3, { accessKeyId, secretAccessKey })
    t.same(buckets, ['asap3', 'data-dust', 'pnfs'], `${name} by access key`)
  }
  t.ok(existsSync(`${home}/demo/portolan.yaml`))
  t.equal(await demo.end('SIGTERM'), 0, 'it ends cleanly on SIGTERM')
})

async function listBuckets(endpoint: string, credentials: { accessKeyId: string; secretAccessKey: string }) {
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials })
  const { Buckets = [] } = await client.send(new ListBucketsCommand({}))
  client.destroy()
  return Buckets.map(({ Name }) => Name)
}

t.test('a taken port is a sentence, not a stack', async (t) => {
  const server = createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  await t.rejects(startDemo(port), /port \d+ cannot be used; take another/)
})
