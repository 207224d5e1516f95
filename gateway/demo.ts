/**
 * `npm start`: makes a demo below ./demo and runs the gateway on it, on loopback.
 *
 *     npm start -- [--port N]      HTTP on N (8080), S3 on N + 1, the stand-in for dCache on N + 4 and N + 5, metrics on N + 9
 *
 * Started as root it goes on as an account of its own; this program then runs a second time, as that account.
 */

import { readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { loadConfig } from './config.ts'
import { StorageError } from './core/errors.ts'
import { type Demo, demoIn, madeIn, prepareDemo } from './demo/prepare.ts'
import { playDcache } from './demo/stand-ins.ts'
import { takePrivileges } from './serve/account.ts'
import { runGateway } from './supervisor.ts'

/** Set for the second start. It saves work and gives nothing: privileges are checked by themselves. */
const marker = 'PORTOLAN_DEMO_PREPARED'
const directory = resolve(import.meta.dirname, '..', 'demo')

function portFrom(args: readonly string[]): number {
  const { values } = parseArgs({ args: [...args], options: { port: { type: 'string', default: '8080' } } })
  const port = Number(values.port)
  if (!Number.isInteger(port) || port < 1 || port > 65_526) {
    throw new StorageError('invalid', '--port takes a number from 1 to 65526; the ports after it are used too')
  }
  return port
}

/** Fails with a sentence for people when something else listens there already. */
async function requireFree(port: number): Promise<void> {
  const server = createServer()
  await new Promise<void>((done, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', done)
  }).catch((cause) => {
    throw new StorageError('busy', `port ${port} cannot be used; take another: npm start -- --port N`, { cause })
  })
  await new Promise((done) => server.close(done))
}

async function prepare(port: number): Promise<Demo> {
  for (const offset of [0, 1, 4, 5, 9]) await requireFree(port + offset)
  if (process.geteuid?.() !== 0) {
    return prepareDemo({ directory, port, asRoot: false, native: { because: 'that needs a start as root' } })
  }
  const before = madeIn(directory)
  if (before?.asRoot === false && statSync(directory).uid === 0) {
    return prepareDemo({ directory, port, asRoot: false, native: { because: 'root cannot step down here' } })
  }
  let because = ''
  // Where the kernel does not let root give up its rights in the way we need, the demo goes on with less.
  for (const native of [true, false] as const) {
    const demo = await prepareDemo({ directory, port, asRoot: true, native: native || { because } })
    process.env[marker] = directory
    try {
      // Does not return where it can be done.
      takePrivileges(await loadConfig(demo.configFile), demo.configFile)
    } catch (error) {
      because = StorageError.from(error).message
    }
    delete process.env[marker]
  }
  if (before === undefined) rmSync(directory, { recursive: true })
  return prepareDemo({ directory, port, asRoot: false, native: { because } })
}

try {
  const port = portFrom(process.argv.slice(2))
  const { configFile, textFile, dcache } = process.env[marker] === directory ? demoIn(directory) : await prepare(port)
  const playing = await playDcache(dcache)
  try {
    process.exitCode = await runGateway({
      configFile,
      onReady: ({ workers }) => console.log(`${readFileSync(textFile, 'utf8')}${workers} worker processes serve.`),
    })
  } finally {
    await playing.stop()
  }
} catch (error) {
  console.error(error instanceof Error ? `portolan demo: ${error.message}` : error)
  process.exitCode = 1
}
