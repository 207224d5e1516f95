/** The mount of the demo, by the lines of README.md. */

import { execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'
import { closedWay } from '../mount/places.ts'

t.setTimeout(180_000)

const home = resolve(import.meta.dirname, '../..')

/** Starts the demo on a port that it finds free. */
async function startDemo(t: Tap): Promise<number> {
  for (let tries = 0; tries < 20; tries++) {
    const port = randomInt(16_000, 32_000)
    const child = spawn(process.execPath, ['gateway/demo.ts', '--port', String(port)], {
      cwd: home,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const ended = once(child, 'exit')
    let printed = ''
    const serves = new Promise<boolean>((done) => {
      child.stdout.on('data', (chunk: Buffer) => {
        printed += String(chunk)
        if (printed.includes('worker processes serve')) done(true)
      })
      child.once('exit', () => done(false))
    })
    if (await serves) {
      t.teardown(async () => {
        child.kill('SIGTERM')
        await ended
      })
      return port
    }
  }
  throw new Error('the demo found no free port')
}

type Tap = Pick<typeof t, 'teardown'>

/** The block of README.md that mounts. */
function linesOfReadme(): string {
  const blocks = [...readFileSync(join(home, 'README.md'), 'utf8').matchAll(/^```sh\n([\s\S]*?)^```/gm)]
  return blocks.map(([, text = '']) => text).find((text) => text.includes('portolan mount')) ?? ''
}

const way = process.getuid?.() === 0 ? 'root' : 'fusermount'

t.test('the lines of README.md give what they promise', { skip: closedWay(way) }, async (t) => {
  const port = await startDemo(t)
  const directory = mkdtempSync(join(tmpdir(), 'portolan-demo-mount-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 20 }))
  const script = linesOfReadme().replaceAll(':8080', `:${port}`).replaceAll('~/data', join(directory, 'data'))
  t.match(script, /portolan umount/)
  const [stdout, stderr] = await new Promise<[string, string]>((done) => {
    // One of its lines fails on purpose.
    execFile('/bin/sh', ['-c', script], { cwd: home }, (_, stdout, stderr) => done([stdout, stderr]))
  })
  t.match(stdout, /^d.* alice$/m, 'spaces of users are listed')
  t.match(stdout, /^d.* petra3$/m, 'and other storage')
  t.match(stderr, /bob\/hello\.txt: Permission denied/, 'a refusal')
  t.match(stdout, /bob/, 'and why')
  t.equal(
    stderr
      .replace(/^getfattr: Removing leading .*$/m, '')
      .trim()
      .split('\n').length,
    1,
    stderr,
  )
  t.notOk(existsSync(join(directory, 'data/data-dust')), 'nothing stays mounted')
})
