/** davix and gfal2 order copies between two gateways. */

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { ask, openDoor, store } from '../http/door.ts'
import { openCopier } from './third-party-world.ts'

const content = Buffer.from(Uint8Array.from({ length: 5_000_000 }, (_, i) => (i * 7919) % 251))

/** Why a program cannot be used, or false. */
function lacks(program: string, debian: string): string | false {
  return spawnSync('which', [program]).status === 0 ? false : `needs the program ${program} (Debian: ${debian})`
}

async function run(program: string, ...args: string[]): Promise<{ readonly status: unknown; readonly output: string }> {
  const env = {
    PATH: process.env.PATH,
    HOME: '/nonexistent',
    BEARER_TOKEN: 'alice',
    GFAL_PYTHONBIN: '/usr/bin/python3',
  }
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { status, output: out + err }
}

const credentials = ['-H', 'Authorization: Bearer alice', '-H', 'TransferHeaderAuthorization: Bearer alice']

t.test('davix-cp pushes', { skip: lacks('davix-cp', 'davix') }, async (t) => {
  const [source, target] = [await openCopier(t), await openDoor(t)]
  await store(source.storage, '/data/f', content)
  const [from, to] = [`http://localhost:${source.port}/data/f`, `http://localhost:${target.port}/data/davix`]
  const { status, output } = await run('davix-cp', ...credentials, from, to)
  t.equal(status, 0, output)
  t.ok((await ask(target.port, 'GET', '/data/davix', { as: 'alice' })).body.equals(content))
  const denied = await run('davix-cp', '-H', 'Authorization: Bearer alice', from, `${to}-2`)
  t.not(denied.status, 0)
  t.match(denied.output, /rejected PUT: 401 Unauthorized/)
})

for (const mode of ['pull', 'push'] as const) {
  t.test(`gfal-copy makes one side ${mode}`, { skip: lacks('gfal-copy', 'gfal2-util-scripts') }, async (t) => {
    const [source, target] = [await openCopier(t), await openCopier(t)]
    await store(source.storage, '/data/f', content)
    const urls = [`http://localhost:${source.port}/data/f`, `http://localhost:${target.port}/data/gfal`]
    const { status, output } = await run('gfal-copy', '--copy-mode', mode, '-K', 'ADLER32', ...urls)
    t.equal(status, 0, output)
    t.ok((await ask(target.port, 'GET', '/data/gfal', { as: 'alice' })).body.equals(content))
    const active = mode === 'pull' ? target : source
    t.match(
      active.lines.find((line) => 'direction' in line),
      { direction: mode, outcome: 'ok' },
    )
  })
}
