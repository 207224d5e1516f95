/** Commands start quickly: what few of them need is loaded by those alone. */

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const source = `
import { registerHooks } from 'node:module'
registerHooks({ load(url, context, next) { console.error('loaded ' + url); return next(url, context) } })`
const hook = `data:text/javascript,${encodeURIComponent(source)}`

t.test('no file system, no issuer and no native library for commands that need none', async (t) => {
  const cli = join(import.meta.dirname, '../../gateway/cli.ts')
  const words = ['--import', hook, cli, 'ls', '--help']
  const { stdout, stderr } = await promisify(execFile)(process.execPath, words)
  t.match(stdout, /Usage: portolan ls/)
  t.match(stderr, /loaded .*gateway\/cli\/ls\.ts/)
  for (const never of [
    /koffi/,
    /openid-client/,
    /mounts\/fuse\/mount\.ts/,
    /mounts\/client\/fs/,
    /gateway\/serve\.ts/,
  ]) {
    t.notMatch(stderr, never)
  }
})
