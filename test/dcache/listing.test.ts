/** Listings of the frontend, page by page, and how often it is asked. */

import t, { type Test } from 'tap'
import { isReservedPath, reservedIn } from '../../backends/dcache/names.ts'
import { join, type Path, parsePath, root } from '../../gateway/core/path.ts'
import { act } from '../backends/conformance/area.ts'
import { callBy, worldFor } from './world.ts'

const place = parsePath('/many')

/** So many files. */
async function filled(t: Test, count: number) {
  const world = await worldFor(t)
  await world.dcache.tree.add({ path: '/data/many', directory: true, owner: 'alice' })
  const names = Array.from({ length: count }, (_, index) => `file-${index}`)
  await world.fill?.(place, names)
  world.dcache.counters.reset()
  const { pages } = await act(world.backend.list(place, {}, callBy()))
  const asked = () => world.dcache.counters.requests('frontend', 'namespace')
  return { world, names, pages, asked }
}

t.test('a directory is asked for once for each thousand of its members', async (t) => {
  for (const [count, requests] of [
    [0, 1],
    [1, 1],
    [999, 1],
    [1000, 1],
    [1001, 2],
    [2000, 2],
    [2001, 3],
  ] as const) {
    const { names, pages, asked } = await filled(t, count)
    const found: string[] = []
    for await (const page of pages()) {
      t.ok(page.length > 0 && page.length <= 1000, `a page of ${page.length}`)
      found.push(...page.map(({ name }) => name))
    }
    t.same(found.toSorted(), names.toSorted(), `${count}, each once`)
    t.equal(asked(), requests, `${count} by ${requests}`)
  }
})

t.test('what stays in a directory is listed once, whatever goes between two pages', async (t) => {
  const { world, names, pages, asked } = await filled(t, 2500)
  const found: string[] = []
  for await (const page of pages()) {
    if (found.length === 0) for (const name of ['file-3', 'file-999']) world.dcache.tree.remove(`/data/many/${name}`)
    found.push(...page.map(({ name }) => name))
  }
  t.same(found.toSorted(), names.toSorted())
  t.ok(asked() > 3, 'it was gone through again')
})

t.test('names come between two pages and hide none', async (t) => {
  const { world, names, pages } = await filled(t, 1500)
  const found: string[] = []
  for await (const page of pages()) {
    // A file that is replaced goes to the end of the directory.
    if (found.length === 0) {
      for (const name of names.slice(0, 700)) {
        world.dcache.tree.remove(`/data/many/${name}`)
        await world.dcache.tree.add({ path: `/data/many/${name}`, text: '', owner: 'alice' })
      }
    }
    found.push(...page.map(({ name }) => name))
  }
  t.same(found.toSorted(), names.toSorted())
})

t.test('properties are read with one request', async (t) => {
  const world = await worldFor(t)
  await world.dcache.tree.add({ path: '/data/file', text: 'bytes', owner: 'alice', xattrs: { run: '42' } })
  const { properties } = world.backend
  if (!properties) throw new Error('the frontend has them')
  world.dcache.counters.reset()
  t.same([...(await act(properties.get(parsePath('/file'), callBy())))], [['run', '42']])
  t.equal(world.dcache.counters.requests('frontend', 'namespace'), 1)
})

t.test('what is reserved in a directory is what is reserved by its path', async (t) => {
  const names = ['a', '.webdav', '.well-known', 'webdav', '.(get)(a)(locality)', '.portolan-upload-1', 'remote.php']
  for (const directory of [root, parsePath('/remote.php'), parsePath('/a'), parsePath('/.webdav/a')] satisfies Path[]) {
    const isReserved = reservedIn(directory)
    for (const name of names) t.equal(isReserved(name), isReservedPath(join(directory, name)), `${directory} ${name}`)
  }
})
