/** What docs/users.md says of bad networks is done as it is written there, over one. */

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { startTestGateway, type TestGateway } from '../gateway/harness.ts'
import { makeLab } from '../gateway/tree.ts'
import { CuttingProxy } from './cutting.ts'

t.setTimeout(180_000)

const page = readFileSync(resolve(import.meta.dirname, '../../docs/users.md'), 'utf8')
const section = /^## Over bad networks\n([\s\S]*?)^## /m.exec(page)?.[1] ?? ''
const script = /^```sh\n([\s\S]*?)^```/m.exec(section)?.[1] ?? ''

t.test('curl sends a file over connections that break', async (t) => {
  const known: { gateway?: TestGateway } = {}
  const proxy = await CuttingProxy.open(t, () => known.gateway?.port ?? 0)
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
    more: { publicUrl: proxy.url },
  })
  known.gateway = gateway
  const content = randomBytes(20 * 1024 * 1024 + 3)
  writeFileSync(join(gateway.directory, 'results.h5'), content)
  const here = script.replace('https://gw.example.org/data-dust/user/', `${proxy.url}/lab/`)
  t.not(here, script, 'it names the file')
  const never = Number.POSITIVE_INFINITY
  proxy.cuts.push(never, never, 6_000_000, 300, never, 3_000_000)
  const env = { PATH: process.env.PATH, TOKEN: await gateway.standingToken('alice'), LC_ALL: 'C' }
  await promisify(execFile)('sh', ['-c', here], { cwd: gateway.directory, env, timeout: 120_000 })
  t.same(proxy.cuts, [], 'they broke')
  const { status, body } = await gateway.get('/lab/alice/results.h5', 'alice')
  t.equal(status, 200)
  t.ok(body.equals(content))
})
