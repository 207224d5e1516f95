/** rclone and s3cmd at the S3 door: 2,000 files both ways, compared by their bytes; a large one in parts. */

import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import t from 'tap'
import { Desk, filesBelow, startForPrograms, without } from './programs.ts'

t.setTimeout(280_000)

const gateway = await startForPrograms(t)
const files = 2000

/** In directories of different depths, some with names that need care. */
function writeTree(desk: Desk): void {
  const odd = [' space', 'ü', '%2F', 'a+b', '&=?', "q'q", '𝄞', '(1)']
  for (let at = 0; at < files; at++) {
    const directory = ['', 'a/', 'a/b/', `many/${at % 40}/`, 'deep/er/and/deep/er/'][at % 5]
    desk.write(`tree/${directory}${odd[at % 11] ?? ''}${at}`, at % 3 ? `file ${at}` : randomBytes(at))
  }
}

t.test('rclone: 2,000 files there, checked, changed, and back', { skip: without('rclone') }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  writeTree(desk)
  const remote = ':s3:mine/rclone'
  const fast = ['--transfers', '8', '--checkers', '8', '--fast-list']
  await desk.rclone(t, 'sync', ...fast, 'tree', remote)
  t.equal(filesBelow(`${gateway.tree('/lab')}/alice/rclone`).length, files)
  await desk.rclone(t, 'check', ...fast, 'tree', remote)
  await desk.rclone(t, 'check', ...fast, '--download', 'tree', remote)
  const again = await desk.run('rclone', ...desk.rcloneAccess(), 'sync', '-v', '--checksum', ...fast, 'tree', remote)
  t.match(again.err, /There was nothing to transfer/)
  desk.write('tree/a/b/changed', 'changed')
  rmSync(desk.path('tree/many/8'), { recursive: true })
  await desk.rclone(t, 'sync', ...fast, '--checksum', 'tree', remote)
  await desk.rclone(t, 'check', ...fast, 'tree', remote)
  const names = filesBelow(desk.path('tree'))
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/rclone`), names)
  await desk.rclone(t, 'sync', ...fast, remote, 'back')
  await desk.rclone(t, 'check', ...fast, '--download', remote, 'back')
  t.same(filesBelow(desk.path('back')), names)
  await desk.rclone(t, 'sync', ...fast, '--checksum', remote, 'back')
  await desk.rclone(t, 'purge', remote)
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/rclone`), [])
})

t.test('rclone: 60 MB in parts, copied there, and back', { skip: without('rclone') }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  const content = randomBytes(60_000_000)
  desk.write('big', content)
  const parts = ['--s3-upload-cutoff', '20M', '--s3-chunk-size', '8M', '--s3-copy-cutoff', '20M']
  await desk.rclone(t, 'copyto', ...parts, 'big', ':s3:mine/parts/big')
  t.ok(desk.stored('/lab/alice/parts/big').equals(content))
  await desk.rclone(t, 'copyto', ...parts, ':s3:mine/parts/big', ':s3:p01/big')
  t.ok(desk.stored('/lab/p01/big').equals(content))
  await desk.rclone(t, 'copyto', ...parts, ':s3:p01/big', 'back')
  t.ok(desk.read('back').equals(content))
  await desk.rclone(t, 'check', '--download', ':s3:p01/', desk.directory, '--include', '/big')
  await desk.rclone(t, 'moveto', ...parts, ':s3:mine/parts/big', ':s3:mine/parts/moved')
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/parts`), ['moved'])
  await desk.rclone(t, 'deletefile', ':s3:mine/parts/moved')
})

t.test('rclone: buckets, and directories', { skip: without('rclone') }, async (t) => {
  const desk = new Desk(t, gateway, 'carol')
  await desk.rclone(t, 'mkdir', ':s3:carols-own')
  desk.write('some/sub/b c', 'x')
  await desk.rclone(t, 'copy', 'some', ':s3:carols-own/x')
  t.equal(await desk.rclone(t, 'cat', ':s3:carols-own/x/sub/b c'), 'x')
  t.match(await desk.rclone(t, 'lsf', ':s3:'), /^carols-own\/$/m)
  const names = await desk.rclone(t, 'lsf', '-R', ':s3:carols-own')
  t.same(names.trim().split('\n').sort(), ['x/', 'x/sub/', 'x/sub/b c'])
  await desk.rclone(t, 'purge', ':s3:carols-own')
  t.notMatch(await desk.rclone(t, 'lsf', ':s3:'), /carols-own/)
})

t.test('s3cmd: put, get, ls, sync and del', { skip: without('s3cmd') }, async (t) => {
  const desk = new Desk(t, gateway, 'alice')
  const content = randomBytes(17_000_000)
  desk.write('in', content)
  await desk.s3cmd(t, 'put', '--multipart-chunk-size-mb=5', 'in', 's3://mine/s3cmd/in')
  t.ok(desk.stored('/lab/alice/s3cmd/in').equals(content))
  await desk.s3cmd(t, 'get', 's3://mine/s3cmd/in', 'back')
  t.ok(desk.read('back').equals(content))
  t.match(await desk.s3cmd(t, 'ls', 's3://mine/s3cmd/'), / 17000000 {2}s3:\/\/mine\/s3cmd\/in\n/)
  t.match(await desk.s3cmd(t, 'ls'), /s3:\/\/mine\n/)
  t.match(await desk.s3cmd(t, 'info', 's3://mine/s3cmd/in'), /File size: 17000000/)
  for (let at = 0; at < 50; at++) desk.write(`tree/${at % 5}/ü ${at}`, `file ${at}`)
  await desk.s3cmd(t, 'sync', 'tree/', 's3://mine/s3cmd/tree/')
  const again = await desk.s3cmd(t, 'sync', 'tree/', 's3://mine/s3cmd/tree/')
  t.notMatch(again, /upload:/)
  rmSync(desk.path('tree/3'), { recursive: true })
  desk.write('tree/new', 'new')
  await desk.s3cmd(t, 'sync', '--delete-removed', 'tree/', 's3://mine/s3cmd/tree/')
  const names = filesBelow(desk.path('tree'))
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/s3cmd/tree`), names)
  desk.write('synced/.keep', '')
  await desk.s3cmd(t, 'sync', 's3://mine/s3cmd/tree/', 'synced/')
  for (const name of names) t.ok(desk.read(`synced/${name}`).equals(desk.read(`tree/${name}`)), name)
  await desk.s3cmd(t, 'cp', 's3://mine/s3cmd/tree/new', 's3://mine/s3cmd/copy')
  await desk.s3cmd(t, 'mv', 's3://mine/s3cmd/copy', 's3://mine/s3cmd/moved')
  t.equal(desk.stored('/lab/alice/s3cmd/moved').toString(), 'new')
  await desk.s3cmd(t, 'modify', '--add-header=Cache-Control: no-store', 's3://mine/s3cmd/moved')
  await desk.s3cmd(t, 'del', 's3://mine/s3cmd/moved')
  await desk.s3cmd(t, 'del', '--recursive', '--force', 's3://mine/s3cmd/')
  t.same(filesBelow(`${gateway.tree('/lab')}/alice/s3cmd`), [])
  await desk.s3cmd(t, 'mb', 's3://made-by-s3cmd')
  await desk.s3cmd(t, 'put', 'in', 's3://made-by-s3cmd/a/in')
  await desk.s3cmd(t, 'rb', '--recursive', '--force', 's3://made-by-s3cmd')
})
