/** What has become visible is told as done, whatever fails behind it. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { PosixBackend } from '../../backends/posix/posix.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { TestServices, write } from '../posix/backend-world.ts'

t.test('a server that is lost after the new name was made does not turn a commit into a failure', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-published-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const operationsModule = new URL('./two-names.ts', import.meta.url).href
  const grade = 'gateway'
  const backend = new PosixBackend(
    { root: directory, grade, acl: ['posix'], threads: 1, operationsModule },
    new TestServices(),
  )
  t.teardown(() => backend.close())
  t.match(await write(backend, parsePath('/f'), 'bytes'), { name: 'f', size: 5 })
  t.equal(readFileSync(join(directory, 'f'), 'utf8'), 'bytes')
})
