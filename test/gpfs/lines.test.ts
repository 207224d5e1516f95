/** The -Y output of commands, and what they tell of a file system. */

import { join } from 'node:path'
import t from 'tap'
import { numberOf, parseLines } from '../../backends/gpfs/lines.ts'
import { absolutePath, checkName, onThisMachine, snapshotTime } from '../../backends/gpfs/quantities.ts'
import { calm, makeWorld, noQuota } from './world.ts'

const head = 'mmlsfileset::HEADER:version:reserved:reserved:filesystemName:filesetName:status:path:comment:'

t.test('columns are found by name and decoded', async (t) => {
  const output = `${head}\nmmlsfileset::0:1:::fs:a%3Ab:Linked:%2Ffs%2Fa b:100%25:\n`
  const [row, ...more] = parseLines('mmlsfileset', output) ?? []
  t.same(more, [])
  t.same(
    ['filesetName', 'status', 'path', 'comment'].map((name) => row?.text(name)),
    ['a:b', 'Linked', '/fs/a b', '100%'],
  )
  t.equal(row?.find('reserved'), undefined)
  t.equal(row?.find('later'), undefined)
  t.throws(() => row?.text('later'), { code: 'unavailable' })
})

t.test('lines of others and other sections are passed over', async (t) => {
  const output = `bash: warning: setlocale\n${head}\nmmlsfileset:other:0:1:::x:x:x:x:x:\nWarnung: nichts\nmmlsfileset::0:1:::fs:a:Linked:%2Fa::\n`
  t.same(
    parseLines('mmlsfileset', output)?.map((row) => row.text('filesetName')),
    ['a'],
  )
})

t.test('a cut or headless answer is broken, none at all is none', async (t) => {
  t.equal(parseLines('mmlsfileset', ''), undefined)
  t.equal(parseLines('mmlsfileset', '<html>\n'), undefined)
  t.throws(() => parseLines('mmlsfileset', `${head}\nmmlsfileset::0:1:::fs:a:Linked`), { code: 'unavailable' })
  t.throws(() => parseLines('mmlsfileset', `mmlsfileset::0:1:::fs:a\n${head}\n`), { code: 'unavailable' })
  const [short] = parseLines('mmlsfileset', `${head}\nmmlsfileset::0:1:::fs:a\n`) ?? []
  t.equal(short?.text('filesetName'), 'a')
  t.throws(() => short?.text('path'), { code: 'unavailable' }, 'a line that is too short')
  const [odd] = parseLines('mmlsfileset', `${head}\nmmlsfileset::0:1:::fs:%ff:Linked:%2:%:\n`) ?? []
  t.same([odd?.find('filesetName'), odd?.find('path'), odd?.find('comment')], [undefined, undefined, undefined])
})

t.test('numbers are digits that are exact', async (t) => {
  t.equal(numberOf('1024', 1024), 1048576)
  for (const text of ['', '-1', '1e3', '0x10', '1.5', ' 1', '99999999999999999', '9007199254740991']) {
    t.throws(() => numberOf(text, 1024), { code: 'unavailable' }, JSON.stringify(text))
  }
})

t.test('names that would be options, pairs or lists are none', async (t) => {
  for (const name of ['bob', 'DESY\\bob', '1001', 'domain users', 'b-c.d_e', 'müller']) {
    t.equal(checkName(name, 'a user'), name)
  }
  for (const name of ['', '-u', 'a:b', 'a,b', 'a=b', 'a/b', ' a', 'a\nb', 'a\0b', 'x'.repeat(256), '\ud800']) {
    t.throws(() => checkName(name, 'a user'), { code: 'invalid' }, JSON.stringify(name))
  }
})

t.test('times of snapshots are read in both forms', async (t) => {
  const at = BigInt(Date.UTC(2021, 0, 20, 0, 30, 2)) * 1_000_000n
  for (const text of [
    'Wed Jan 20 00:30:02 2021',
    '2021-01-20 00:30:02',
    '2021-01-20 00.30.02',
    '2021-01-20 00:30:02,111',
  ]) {
    t.equal(snapshotTime(text), at, text)
  }
  t.equal(snapshotTime('Fri Jan  1 00:00:00 2021'), BigInt(Date.UTC(2021, 0, 1)) * 1_000_000n)
  for (const text of ['', 'yesterday', 'Wed Foo 20 00:30:02 2021', 'mer. janv. 20 00:30:02 2021', '20.01.2021']) {
    t.throws(() => snapshotTime(text), { code: 'unavailable' }, text)
  }
})

t.test('junctions are where this machine has them', async (t) => {
  const sets = [
    { name: 'root', junction: '/gpfs/fs', independent: true },
    { name: 'a', junction: '/gpfs/fs/a', independent: false },
    { name: 'b', junction: '/gpfs/fsb', independent: false },
  ]
  const moved = (to: string | undefined) => onThisMachine(sets, to).map(({ junction }) => junction)
  t.same(moved('/data/dust'), ['/data/dust', '/data/dust/a'])
  t.same(moved('/'), ['/', '/a'])
  t.same(moved('/gpfs/fs'), ['/gpfs/fs', '/gpfs/fs/a', '/gpfs/fsb'])
  t.same(moved(undefined), ['/gpfs/fs', '/gpfs/fs/a', '/gpfs/fsb'])
  for (const path of [undefined, '--', '', 'a', '/a/../b', '/a//b', '/a/.', '/a\0', '/a\ufffd']) {
    t.equal(absolutePath(path), undefined, JSON.stringify(path))
  }
  t.same(['/', '/a/', '/a/..b'].map(absolutePath), ['/', '/a', '/a/..b'])
})

t.test('settings, filesets, quotas and snapshots come from the commands', async (t) => {
  const bob = { ...noQuota, quotaType: 'USR', id: 1001, name: 'bob', blockUsage: 2048, blockQuota: 4096 } as const
  const world = await makeWorld(t, {
    aclSemantics: 'all',
    quotas: [
      { ...bob, blockLimit: 8192, blockInDoubt: 512, filesUsage: 7, filesLimit: 100, filesetname: 'root' },
      { ...bob, blockUsage: 1, filesetname: 'one' },
      { ...noQuota, quotaType: 'GRP', id: 2000, name: 'cms', quota: 'off' },
      { ...noQuota, quotaType: 'FILESET', id: 1, name: 'one', filesUsage: 3 },
    ],
    snapshots: [
      { name: 'daily', created: '2021-01-20T00:30:02Z' },
      { name: 'going', created: '2021-01-20T00:30:02Z', status: 'Deleting' },
      { name: 'daily', created: '2021-01-01T00:00:00Z', fileset: 'one' },
    ],
  })
  const { top } = world
  const filesets = [
    { name: 'one', path: join(top, 'one: a %'), independent: true, comment: 'a:b' },
    { name: 'two', path: join(top, 'one: a %', 'two') },
    { name: 'off' },
  ]
  const { info } = world.scale()
  t.same(await info.settings(calm), { aclSemantics: 'all', mountPoint: top })
  const root = await info.quotas({ type: 'user', name: 'bob' }, calm)
  t.same(root, {
    bytes: { used: 2 ** 21, softLimit: 2 ** 22, hardLimit: 2 ** 23, inDoubt: 2 ** 19 },
    files: { used: 7, softLimit: undefined, hardLimit: 100, inDoubt: 0 },
  })
  t.same(await info.quotas({ type: 'user', name: '1001' }, calm), root)
  t.equal((await info.quotas({ type: 'user', name: 'bob', fileset: 'one' }, calm))?.bytes.used, 1024)
  t.equal((await info.quotas({ type: 'fileset', name: 'one' }, calm))?.files.used, 3)
  t.equal(await info.quotas({ type: 'group', name: 'cms' }, calm), undefined, 'none is kept')
  t.equal(await info.quotas({ type: 'user', name: 'eve' }, calm), undefined, 'nobody')
  await t.rejects(info.quotas({ type: 'user', name: '-e' }, calm), { code: 'invalid' })
  await t.rejects(info.quotas({ type: 'user', name: 'bob', fileset: 'a:b' }, calm), { code: 'invalid' })
  t.same(await info.snapshots(undefined, calm), [{ name: 'daily', created: 1611102602_000_000_000n }])
  t.same(await info.snapshots('one', calm), [{ name: 'daily', created: 1609459200_000_000_000n }])
  t.same(await info.snapshots('two', calm), [])
  await world.double.settle({ fileSystem: 'gpfs0', mountPoint: top, filesets })
  t.same(await info.snapshots(undefined, calm), [], 'words instead of an empty list')
  t.same(await info.filesets(calm), [
    { name: 'root', junction: top, independent: true },
    { name: 'one', junction: join(top, 'one: a %'), independent: true },
    { name: 'two', junction: join(top, 'one: a %', 'two'), independent: false },
  ])
  const elsewhere = world.scale({ mountPoint: '/data/dust' }).info
  t.equal((await elsewhere.filesets(calm))[1]?.junction, '/data/dust/one: a %')
})

t.test('what a list command prints when it is broken is no list', async (t) => {
  const world = await makeWorld(t)
  const { info } = world.scale()
  const rows: ReadonlyArray<readonly [string, object]> = [
    ['nothing', { garbage: '' }],
    ['words', { garbage: 'no filesets here\n' }],
    ['HTML of many lines', { garbage: '<html>\n<body>\n</html>\n' }],
    ['cut off', { cutAt: 130 }],
    ['failed', { exit: 1 }],
  ]
  for (const [what, fault] of rows) {
    await world.double.fail({ mmlsfileset: fault, mmlsquota: fault, mmlsfs: fault, mmlssnapshot: fault })
    await t.rejects(info.filesets(calm), { code: 'unavailable' }, what)
    await t.rejects(info.settings(calm), { code: 'unavailable' }, what)
    await t.rejects(info.quotas({ type: 'user', name: 'bob' }, calm), { code: 'unavailable' }, what)
    if (what === 'HTML of many lines' || what === 'failed') {
      await t.rejects(info.snapshots(undefined, calm), { code: 'unavailable' }, what)
    }
  }
  await world.double.fail({ mmlsfileset: { noise: 'bash: Warnung: setlocale: LC_ALL: de_DE\n' } })
  t.equal((await info.filesets(calm)).length, 1, 'a shell that warns is not listened to')
  t.throws(() => world.scale({ fileSystem: '-a' }), { code: 'invalid' })
})
