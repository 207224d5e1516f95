/** `npm pack` gives a working `portolan` command: built, packed, installed elsewhere, run. */

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)
const home = resolve(import.meta.dirname, '..')

t.test('the packed command runs and needs no TypeScript', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-pack-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const { stdout } = await run('npm', ['pack', '--json', '--loglevel=error', '--pack-destination', directory], {
    cwd: home,
  })
  // What the build prints may stand before npm's own JSON.
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ filename: string; files: { path: string }[] }]
  const names = packed.files.map(({ path }) => path)
  t.ok(names.includes('dist/gateway/cli.js'))
  t.notOk(
    names.some((name) => /(^|\/)(test|bench|demo\.json)\/|\.ts$/.test(name) && !name.endsWith('.d.ts')),
    'no sources and no tests in it',
  )
  writeFileSync(join(directory, 'package.json'), '{"private":true}')
  await run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', join(directory, packed.filename)], {
    cwd: directory,
  })
  const command = join(directory, 'node_modules/.bin/portolan')
  const { stdout: help } = await run(process.execPath, [command, '--help'])
  t.match(help, /serve/)
  t.match(help, /explain/)
})
