/**
 * A mount of a storage that takes whole files only, as dCache and S3 do: what programs do with files before they close them,
 * and what is left of a file that nobody has closed. The storage is the memory back end, told to write nothing in place.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import type { StorageOperations } from '../../gateway/core/storage.ts'
import { openFs } from '../api-fs/client.ts'
import { mountGateway, temporaryDirectory } from './mounted.ts'
import { closedWay } from './places.ts'
import { shell } from './run.ts'

const skip = closedWay('root')

function withoutEditing(storage: StorageOperations): StorageOperations {
  const edit = () => Promise.reject(new StorageError('unsupported', 'files of this mount cannot be changed in place'))
  return new Proxy(storage, {
    get(target, name) {
      if (name === 'edit') return edit
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

async function start(t: Test) {
  const { port, mount: connect } = await openFs(t, { around: withoutEditing })
  const gateway = { url: `http://127.0.0.1:${port}/`, standingToken: async () => 'alice' }
  const mount = await mountGateway(t, gateway)
  const other = await connect()
  const contentOf = async (name: string) => {
    const { json, status } = await other.op('open', { path: `/data/${name}` })
    if (status !== 200) return String(json.code)
    const { body } = await other.read(String(json.handle), 0, 100_000)
    return body.toString()
  }
  return { mount, directory: join(mount.mountpoint, 'data'), contentOf }
}

t.test('programs make files as they do elsewhere', { skip }, async (t) => {
  const { directory } = await start(t)
  const local = temporaryDirectory(t)
  const program = (script: string) =>
    shell(local, script, [directory]).then(
      () => '',
      ({ message }: Error) => message,
    )
  mkdirSync(join(local, 'from'))
  for (const [name, text] of Object.entries({ one: 'first\n', two: 'second\n'.repeat(5000) })) {
    writeFileSync(join(local, 'from', name), text)
  }
  await shell(local, 'touch -d 2001-02-03T04:05:06Z from/*; chmod 640 from/one; tar cf from.tar from')
  const same = 'test "$(stat -c "%s %Y %a" "$1")" = "$(stat -c "%s %Y %a" from/one)"'
  for (const [what, script] of Object.entries({
    'cp -p': `cp -p from/one from/two "$1"; set -- "$1/one"; ${same}`,
    'cp -p again': `cp -p from/one "$1"; set -- "$1/one"; ${same}`,
    'cp -a': `mkdir "$1/a"; cp -a --no-preserve=xattr from/one "$1/a/one"; set -- "$1/a/one"; ${same}`,
    tar: `mkdir "$1/t"; tar -x -f from.tar -C "$1/t" --strip-components=1 from/one from/two; cmp from/two "$1/t/two"; set -- "$1/t/one"; ${same}`,
    touch:
      'touch "$1/new"; test "$(stat -c %s "$1/new")" = 0; touch -d 2002-02-02 "$1/later"; stat -c %y "$1/later" | grep 2002',
    install:
      'install -m 600 from/two "$1/installed"; cmp from/two "$1/installed"; test "$(stat -c %a "$1/installed")" = 600',
    rsync: `mkdir "$1/r"; rsync -rlpt --omit-dir-times from/ "$1/r/"; cmp from/two "$1/r/two"; set -- "$1/r/one"; ${same}`,
    'git init': 'git init -q "$1/repository"; test -s "$1/repository/.git/config"',
    'a shell': '(echo a; sleep 3; echo b) > "$1/slowly"; test "$(cat "$1/slowly")" = "$(printf "a\\nb")"',
  })) {
    t.equal(await program(script), '', what)
  }
})

t.test('what is being written is there for who writes it, under its name', { skip }, async (t) => {
  const { directory, contentOf } = await start(t)
  const [file, elsewhere] = [join(directory, 'open'), join(directory, 'elsewhere')]
  const handle = await open(file, 'wx')
  await handle.write('abc')
  // Longer than anything is remembered.
  await pause(2500)
  t.match(await stat(file), { size: 3 })
  t.equal(await contentOf('open'), 'not-found', 'for nobody else')
  await t.rejects(rename(file, elsewhere), { code: /EOPNOTSUPP|ENOTSUP/ })
  await handle.write('def')
  await handle.close()
  t.equal(await contentOf('open'), 'abcdef')
  await rename(file, elsewhere)
  t.equal(await contentOf('elsewhere'), 'abcdef')
})

t.test('what was removed while it was written does not come back', { skip }, async (t) => {
  const { directory, contentOf } = await start(t)
  await writeFile(join(directory, 'old'), 'before')
  for (const [name, flags] of [
    ['fresh', 'wx'],
    ['old', 'w'],
  ] as const) {
    const file = join(directory, name)
    const handle = await open(file, flags)
    await handle.write('text')
    await rm(file)
    await t.rejects(stat(file), { code: 'ENOENT' })
    await handle.sync()
    await handle.close()
    t.equal(await contentOf(name), 'not-found')
  }
})

t.test('a mount that ends leaves what nobody has closed as it was', { skip }, async (t) => {
  const { mount, directory, contentOf } = await start(t)
  const file = join(directory, 'whole')
  await writeFile(file, 'all of it')
  const script = 'exec 3> "$1"; printf half >&3; echo written; sleep 60'
  const child = spawn('/bin/sh', ['-c', script, 'sh', file], { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  t.equal(await mount.end(), 0)
  t.equal(await contentOf('whole'), 'all of it')
  t.match(mount.log(), /before the file was closed/)
})
