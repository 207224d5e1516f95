import t from 'tap'
import type { Entry } from '../../backends/backend.ts'
import { KnownNames, type KnownWindow } from '../../gateway/core/known-names.ts'
import { behind, NamesBuilder, successor, type Window } from '../../gateway/core/packed-names.ts'
import { parsePath } from '../../gateway/core/path.ts'
import type { Directory } from '../../gateway/core/walking-directories.ts'
import { Frame } from '../../gateway/core/walking-frame.ts'

const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const nothing = Buffer.alloc(0)

function entryOf(key: string): Entry {
  const isDirectory = key.endsWith('/')
  const type = isDirectory ? 'directory' : 'file'
  return { name: isDirectory ? key.slice(0, -1) : key, type, size: 0, modified: 0n, changed: 0n, version: '', id: '' }
}

/** In an order that is neither sorted nor the reverse. */
function shuffled(keys: readonly string[]): string[] {
  return keys.toSorted((a, b) => byBytes([...a].toReversed().join(''), [...b].toReversed().join('')))
}

async function windowOf(keys: readonly string[], from: Uint8Array = nothing, most = 1e9): Promise<Window> {
  const builder = new NamesBuilder(from, most)
  for (let at = 0; at < keys.length; at += 100) await builder.add(keys.slice(at, at + 100).map(entryOf))
  return builder.finish()
}

const told = ({ names }: Window) => Array.from({ length: names.length }, (_, index) => names.at(index))

const hostile = ['a', 'a!', 'a-b', 'a.txt', 'a/', 'a0', 'aa/', 'é', '\ue000', '\u{1f600}', '\u{1f600}/', ' ', 'Z', '~']
const many = Array.from({ length: 20_000 }, (_, index) => `name-${index}${index % 3 === 0 ? '/' : ''}`)

t.test('names are sorted as keys, each once', async (t) => {
  for (const keys of [[], ['x'], hostile, many]) {
    const window = await windowOf(shuffled([...keys, ...keys.slice(0, 3)]))
    t.same(told(window), keys.toSorted(byBytes))
    t.equal(window.complete, true)
    t.same(
      told(window).map((_, index) => window.names.isDirectory(index)),
      keys.toSorted(byBytes).map((key) => key.endsWith('/')),
    )
  }
})

t.test('links and other things are no names, and packed pages say the same', async (t) => {
  const builder = new NamesBuilder(nothing, 1e9)
  await builder.add([{ ...entryOf('link'), type: 'symlink' }, { ...entryOf('fifo'), type: 'other' }, entryOf('b')])
  await builder.add({ names: Buffer.from('l\0é\0d\0o\0'), types: Uint8Array.of(2, 0, 1, 3) })
  t.same(told(await builder.finish()), ['b', 'd/', 'é'])
})

t.test('a key is found where it is or would be', async (t) => {
  const { names } = await windowOf(shuffled(hostile))
  const sorted = hostile.toSorted(byBytes)
  for (const key of [...hostile, '', 'a/b', 'b', '\uffff', 'a\u0000']) {
    t.equal(names.from(Buffer.from(key)), sorted.filter((each) => byBytes(each, key) < 0).length, JSON.stringify(key))
    const after = sorted.filter((each) => byBytes(each, key) <= 0).length
    t.equal(names.from(successor(Buffer.from(key))), after, JSON.stringify(key))
    const past = sorted.filter((each) => byBytes(each, key) < 0 || each.startsWith(key)).length
    t.equal(names.from(behind(Buffer.from(key))), past, JSON.stringify(key))
  }
})

t.test('where there is no room for all, the first from a key on are kept', async (t) => {
  const sorted = many.toSorted(byBytes)
  for (const from of ['', 'name-15', 'name-9', 'x']) {
    const window = await windowOf(shuffled(many), Buffer.from(from), 20_000)
    const wanted = sorted.filter((key) => byBytes(key, from) >= 0)
    const found = told(window)
    t.same(found, wanted.slice(0, found.length), from)
    t.equal(window.complete, found.length === wanted.length, from)
    t.ok(window.names.bytes <= 20_000)
  }
})

t.test('a directory that does not fit is told window by window', async (t) => {
  const keys = shuffled(many)
  let reads = 0
  const open = async (_: unknown, from: Uint8Array) => {
    reads++
    return { window: { ...(await windowOf(keys, from, 40_000)), version: undefined, began: 0 } } as Directory
  }
  const sorted = many.toSorted(byBytes)
  for (const [names, after, skip] of [
    ['', '', ''],
    ['name-1', '', ''],
    ['', 'name-15', ''],
    ['', '', 'name-1'],
  ] as const) {
    const resume = after === '' ? undefined : { after }
    const frame = await Frame.open({
      path: parsePath('/d'),
      keys: 'd/',
      names,
      resume: resume && { after: `d/${after}` },
      open,
    })
    const found: string[] = []
    while (await frame.isOpen()) {
      const { name } = frame
      if (skip !== '' && name.startsWith(skip)) {
        frame.skip(`d/${skip}`)
      } else {
        found.push(name)
        frame.advance()
      }
    }
    const expected = sorted.filter((key) => key.startsWith(names) && byBytes(key, after) > 0)
    t.same(found, skip === '' ? expected : expected.filter((key) => !key.startsWith(skip)), `${names} ${after} ${skip}`)
  }
  t.ok(reads > 20)
})

t.test('known names are good for their version, or for who began before they were read', async (t) => {
  const known = new KnownNames(100_000)
  const window = async (version: string | undefined, began: number): Promise<KnownWindow> => ({
    ...(await windowOf(hostile)),
    version,
    id: 'd',
    began,
  })
  known.keep('a', await window('1', 1000))
  const wanted = { from: nothing, version: undefined, since: undefined, id: 'd' }
  t.ok(known.find('a', { ...wanted, version: '1' }))
  t.notOk(known.find('a', { ...wanted, version: '2' }))
  t.notOk(known.find('a', wanted))
  t.ok(known.find('a', { ...wanted, version: '2', since: 1000 }))
  t.notOk(known.find('a', { ...wanted, version: '2', since: 1001 }))
  t.notOk(known.find('a', { ...wanted, version: '2', since: 1000, id: 'e' }), 'another directory')
  t.notOk(known.find('b', { ...wanted, version: '1' }))
})

t.test('known names are bounded in bytes; those that nobody asks for go first', async (t) => {
  const known = new KnownNames(5000)
  const one = await windowOf(hostile)
  for (let count = 0; count < 20; count++) {
    known.keep(`${count}`, { ...one, version: 'v', id: 'd', began: 0 })
    t.ok(known.see('0', nothing), `${count}`)
    t.ok(known.bytes <= 5000)
  }
  t.notOk(known.see('1', nothing))
  t.ok(known.see('19', nothing))
  known.keep('big', { ...(await windowOf(many)), version: 'v', id: 'd', began: 0 })
  t.notOk(known.see('big', nothing))
})
