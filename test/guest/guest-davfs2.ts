/** Runs inside the guest, with a disk at /mnt/exp: davfs2 mounts a gateway's namespace, and programs use it that know nothing of WebDAV. */

import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { password } from '../gateway/people.ts'
import { eventually } from '../gateway/processes.ts'
import { Guarded, openToAll, ownerOnly } from '../gateway/tree.ts'

t.setTimeout(200_000)

const here = '/run/davfs2'
const mounted = `${here}/mounted`

/** Programs, not calls of ours: what a mount is for. */
function sh(script: string): string {
  return execFileSync('/bin/bash', ['-ec', script], { encoding: 'utf8', cwd: here, stdio: ['ignore', 'pipe', 'pipe'] })
}

function mount(url: string): void {
  mkdirSync(mounted, { recursive: true })
  const group = Number(execFileSync('/usr/bin/getent', ['group', 'davfs2'], { encoding: 'utf8' }).split(':')[2])
  for (const directory of [`${here}/cache`, '/run/mount.davfs']) {
    mkdirSync(directory)
    chownSync(directory, 0, group)
    chmodSync(directory, 0o1775)
  }
  writeFileSync(`${here}/secrets`, `${url} alice ${password}\n`, { mode: 0o600 })
  const settings = [`secrets ${here}/secrets`, `cache_dir ${here}/cache`, 'ask_auth 0', 'use_locks 1', 'delay_upload 0']
  writeFileSync(`${here}/conf`, `${[...settings, 'file_refresh 0', 'dir_refresh 1'].join('\n')}\n`, { mode: 0o600 })
  sh(`mount.davfs -o conf=${here}/conf ${url} ${mounted}`)
}

t.test('davfs2 mounts the namespace', async (t) => {
  mkdirSync(here, { recursive: true })
  const root = '/mnt/exp/lab'
  mkdirSync(root)
  const tree = new Guarded(root)
  tree.directory('', 'admin', openToAll)
  tree.directory('alice', 'alice', ownerOnly)
  const gateway = await startTestGateway(t, { mounts: [{ path: '/lab', root, enforce: 'gateway' }], passwords: true })
  const stored = `${root}/alice`
  mount(new URL('/lab/alice/', gateway.url).href)
  t.teardown(() => sh(`umount.davfs ${mounted} 2>/dev/null || umount -l ${mounted}`))

  await t.test('a tree is copied there with cp -r and back, and is the same', async (t) => {
    mkdirSync(`${here}/in/deep/deeper`, { recursive: true })
    for (let index = 0; index < 20; index++) writeFileSync(`${here}/in/file ${index} é`, `content ${index}`)
    writeFileSync(`${here}/in/deep/deeper/big`, Buffer.alloc(3_000_000, 'not zeros '))
    sh(`cp -r in ${mounted}/copied && sync -f ${mounted}`)
    await eventually(() => statSync(`${stored}/copied/deep/deeper/big`).size === 3_000_000, 20_000, 'it is uploaded')
    await eventually(() => readdirSync(`${stored}/copied`).length === 21, 20_000, 'all are uploaded')
    sh(`cp -r ${mounted}/copied out && diff -r in out`)
    t.same(readFileSync(`${stored}/copied/deep/deeper/big`), readFileSync(`${here}/in/deep/deeper/big`))
  })

  await t.test('files are replaced, moved and removed', async (t) => {
    sh(`echo new words > '${mounted}/copied/file 0 é'`)
    await eventually(
      () => readFileSync(`${stored}/copied/file 0 é`, 'utf8') === 'new words\n',
      20_000,
      'the new content is there',
    )
    sh(`mv '${mounted}/copied/file 1 é' ${mounted}/copied/deep/moved && mv ${mounted}/copied/deep ${mounted}/renamed`)
    t.equal(readFileSync(`${stored}/renamed/moved`, 'utf8'), 'content 1')
    t.same(sh(`ls ${mounted}/renamed`).trim().split('\n').toSorted(), ['deeper', 'moved'])
    sh(`rm -r ${mounted}/renamed && rm '${mounted}/copied/file 2 é'`)
    t.same(readdirSync(stored), ['copied'])
    t.equal(readdirSync(`${stored}/copied`).length, 18)
  })

  await t.test('what comes by another door is seen', async (t) => {
    t.equal((await gateway.put('/lab/alice/other', 'alice', 'by PUT')).status, 201)
    // It looks at a directory again after a second, at the earliest.
    await eventually(() => sh(`ls ${mounted}`).includes('other'), 20_000, 'the file is listed')
    t.equal(sh(`cat ${mounted}/other`), 'by PUT')
  })

  await t.test('what is refused is an error of the program', async (t) => {
    await writeFile(`${stored}/closed`, 'a file without an ACL of ours')
    t.throws(() => sh(`cat ${mounted}/closed`))
    await rm(`${stored}/closed`)
  })
})
