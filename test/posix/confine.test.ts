/** No path leaves its tree: not by dots, not by links, not by magic links, not by a race. */

import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import * as sys from '../../backends/posix/native/sys.ts'

const strict = sys.RESOLVE_BENEATH | sys.RESOLVE_NO_MAGICLINKS | sys.RESOLVE_NO_SYMLINKS
const within = sys.RESOLVE_BENEATH | sys.RESOLVE_NO_MAGICLINKS

/** A tree with a file, and beside it a secret that no path from the tree may reach. */
function place(t: Test): { readonly top: string; readonly dir: number } {
  const top = mkdtempSync(join(tmpdir(), 'portolan-confine-'))
  mkdirSync(join(top, 'tree/inner'), { recursive: true })
  mkdirSync(join(top, 'outside'))
  writeFileSync(join(top, 'tree/inner/file'), 'inside')
  writeFileSync(join(top, 'outside/file'), 'SECRET')
  const dir = sys.openat(sys.AT_FDCWD, join(top, 'tree'), sys.O_PATH | sys.O_DIRECTORY, 0)
  t.teardown(() => {
    sys.close(dir)
    rmSync(top, { recursive: true, force: true })
  })
  return { top, dir }
}

/** What a path gives under `resolve`: the text, or the code of the refusal. */
function look(dir: number, path: string, resolve: number): string {
  let fd: number
  try {
    fd = sys.openat2(dir, path, sys.O_RDONLY | sys.O_NONBLOCK, 0, resolve)
  } catch (error) {
    if (error instanceof sys.Errno) return error.code
    throw error
  }
  try {
    const into = Buffer.alloc(16)
    return into.toString('utf8', 0, sys.pread(fd, into, 0))
  } finally {
    sys.close(fd)
  }
}

t.test('each way out is refused', async (t) => {
  const { top, dir } = place(t)
  symlinkSync('../outside', join(top, 'tree/relative'))
  symlinkSync(join(top, 'outside'), join(top, 'tree/absolute'))
  symlinkSync('/proc/self/root', join(top, 'tree/magic'))
  symlinkSync('inner', join(top, 'tree/inward'))
  symlinkSync('loop', join(top, 'tree/loop'))
  const cases = [
    ['inner/file', 'inside', 'inside'],
    ['inner/../inner/file', 'inside', 'inside'],
    ['../outside/file', 'EXDEV', 'EXDEV'],
    ['inner/../../outside/file', 'EXDEV', 'EXDEV'],
    ['/etc/passwd', 'EXDEV', 'EXDEV'],
    [join(top, 'outside/file'), 'EXDEV', 'EXDEV'],
    ['relative/file', 'ELOOP', 'EXDEV'],
    ['absolute/file', 'ELOOP', 'EXDEV'],
    ['magic/etc/passwd', 'ELOOP', 'EXDEV'],
    ['inward/file', 'ELOOP', 'inside'],
    ['loop', 'ELOOP', 'ELOOP'],
  ] as const
  for (const [path, closed, open] of cases) {
    t.equal(look(dir, path, strict), closed, `${path} with links refused`)
    t.equal(look(dir, path, within), open, `${path} with links kept within`)
  }
})

t.test('magic links of /proc lead nowhere', async (t) => {
  const { dir } = place(t)
  const proc = sys.openat(sys.AT_FDCWD, '/proc/self', sys.O_PATH | sys.O_DIRECTORY, 0)
  t.match(look(proc, 'root/etc/passwd', within), /^(ELOOP|EXDEV)$/)
  t.match(look(proc, `fd/${dir}/inner/file`, within), /^(ELOOP|EXDEV)$/)
  sys.close(proc)
})

t.test('another file system mounted in the tree is crossed only where that is asked for', async (t) => {
  const top = sys.openat(sys.AT_FDCWD, '/', sys.O_PATH | sys.O_DIRECTORY, 0)
  t.equal(look(top, 'proc/self/status', strict | sys.RESOLVE_NO_XDEV), 'EXDEV')
  t.equal(look(top, 'proc/version', strict).slice(0, 5), 'Linux')
  sys.close(top)
})

const races = [
  ['a directory and a link to a directory outside', 'door', 'link', 'door/file'],
  ['a file and a link to a file outside', 'plain', 'linked', 'plain'],
] as const

for (const [what, name, other, path] of races) {
  t.test(`a thread that swaps ${what} lets nobody out`, { timeout: 20_000 }, async (t) => {
    const { top, dir } = place(t)
    mkdirSync(join(top, 'tree/door'))
    writeFileSync(join(top, 'tree/door/file'), 'inside')
    symlinkSync('../outside', join(top, 'tree/link'))
    writeFileSync(join(top, 'tree/plain'), 'inside')
    symlinkSync('../outside/file', join(top, 'tree/linked'))
    const board = new SharedArrayBuffer(4)
    const workerData = { directory: join(top, 'tree'), names: [name, other], board }
    const swapper = new Worker(new URL('./confine-swapper.ts', import.meta.url), { workerData })
    await once(swapper, 'online')
    const seen = new Map<string, number>()
    const note = (result: string): unknown => seen.set(result, (seen.get(result) ?? 0) + 1)
    const end = performance.now() + 2000
    while (performance.now() < end) {
      for (let count = 0; count < 200; count++) {
        note(look(dir, path, strict))
        note(look(dir, path, within))
      }
    }
    Atomics.store(new Int32Array(board), 0, 1)
    const [swaps] = await once(swapper, 'message')
    t.notOk(seen.has('SECRET'), 'nothing from outside was seen')
    const met = new Set(['inside', 'ELOOP', 'EXDEV'])
    t.ok(
      [...seen.keys()].every((result) => met.has(result)),
      [...seen].map(([result, count]) => `${result}: ${count}`).join(', '),
    )
    t.ok(seen.has('inside') && (seen.has('ELOOP') || seen.has('EXDEV')), 'and both sides of the swap were met')
    t.ok(swaps > 100, `${swaps} swaps`)
  })
}
