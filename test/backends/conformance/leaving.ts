/** Drafts that are left and gone on with. */

import { buffer } from 'node:stream/consumers'
import { finished } from 'node:stream/promises'
import type { LastingDraft, ResumingFacet } from '../../../backends/backend.ts'
import type { Path } from '../../../gateway/core/path.ts'
import { type Area, act, type Case, fails } from './area.ts'

function facetOf({ backend }: Area): ResumingFacet {
  if (!backend.resuming) throw new Error('the facet is missing')
  return backend.resuming
}

interface Left {
  readonly place: string
  readonly id: string
  readonly shared?: boolean
}

async function begin(area: Area, file: Path): Promise<LastingDraft & { readonly left: Left }> {
  let place = ''
  const keep = async (name: string) => {
    place = name
  }
  const draft = await act(facetOf(area).begin(file, { keep }, area.call))
  return Object.assign(draft, { left: { place, id: draft.id } })
}

const resume = (area: Area, file: Path, left: Left) => act(facetOf(area).resume(file, left, area.call))

async function write(draft: LastingDraft, offset: number, content: string): Promise<void> {
  const writer = draft.writeFrom(offset)
  writer.end(content)
  await finished(writer)
  await draft.sync()
}

const any = { condition: 'any', decide: () => {} } as const

export const leaving: readonly Case[] = [
  {
    name: 'a draft that was left is gone on with, and seen by nobody before its commit',
    facet: 'resuming',
    async run(t, area) {
      const file = area.at('file')
      const made = await begin(area, file)
      t.equal(made.size, 0)
      await write(made, 0, 'hello ')
      await made.close()
      await made.close()
      const again = await resume(area, file, made.left)
      t.equal(again.size, 6)
      t.equal(again.id, made.left.id)
      await write(again, 6, 'world')
      t.equal((await buffer(again.stream({ start: 3, end: 8 }))).toString(), 'lo wo')
      t.same(await area.names(area.base), [])
      const entry = await again.commit(11, any)
      t.equal(entry.id, made.left.id, 'it is told by its id afterwards')
      t.same(entry, await area.known(file))
      t.equal(await area.text(file), 'hello world')
      await again.close()
      await fails(t, resume(area, file, made.left), 'not-found')
      await facetOf(area).drop(made.left.place)
      t.equal(await area.text(file), 'hello world', 'its old name is nothing')
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'bytes of a draft behind what is committed are cut',
    facet: 'resuming',
    async run(t, area) {
      const draft = await begin(area, area.at('file'))
      await write(draft, 0, 'one two three')
      await write(draft, 4, '2')
      await fails(t, draft.commit(14, any), 'stale', 'more than there is')
      t.equal((await draft.commit(5, any)).size, 5)
      t.equal(await area.text(area.at('file')), 'one 2')
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a left draft is open to one at a time, and only by its id',
    facet: 'resuming',
    async run(t, area) {
      const file = area.at('file')
      const draft = await begin(area, file)
      await fails(t, resume(area, file, draft.left), 'busy')
      await draft.close()
      await fails(t, resume(area, file, { ...draft.left, id: 'another' }), 'not-found')
      await (await resume(area, file, draft.left)).discard()
      await fails(t, resume(area, file, draft.left), 'not-found')
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a left draft is open to all who share it, and committed by one who has it alone',
    facet: 'resuming',
    async run(t, area) {
      const file = area.at('file')
      const made = await begin(area, file)
      const shared = { ...made.left, shared: true }
      await fails(t, resume(area, file, shared), 'busy')
      await made.close()
      const [one, two] = [await resume(area, file, shared), await resume(area, file, shared)]
      await fails(t, resume(area, file, made.left), 'busy')
      await Promise.all([write(two, 6, 'world'), write(one, 0, 'hello ')])
      await fails(t, one.commit(11, any), 'internal')
      await fails(t, two.discard(), 'internal')
      await one.close()
      await fails(t, resume(area, file, made.left), 'busy')
      await two.close()
      const alone = await resume(area, file, made.left)
      await alone.commit(11, any)
      t.equal(await area.text(file), 'hello world')
      await fails(t, resume(area, file, shared), 'not-found')
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'bytes are copied within a draft, also from far behind its end, and from another one',
    facet: 'resuming',
    async run(t, area) {
      const draft = await begin(area, area.at('file'))
      const far = 64 * 1024 * 1024
      await write(draft, far, 'some bytes')
      await draft.copyFrom(draft, { start: far, end: far + 4 }, 2)
      const other = await begin(area, area.at('other'))
      await other.copyFrom(draft, { start: 2, end: 6 }, 0)
      await other.copyFrom(draft, { start: far + 4, end: far + 10 }, 4)
      await other.commit(10, any)
      t.equal(await area.text(area.at('other')), 'some bytes')
      await fails(t, draft.copyFrom(draft, { start: far + 4, end: far + 11 }, 6), 'stale')
      await draft.commit(6, any)
      t.match(await area.text(area.at('file')), /..some/s)
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a draft that cannot be kept is not made, and one that is dropped is gone',
    facet: 'resuming',
    async run(t, area) {
      const file = area.at('file')
      const keep = async () => {
        throw new Error('no room to remember it')
      }
      await t.rejects(act(facetOf(area).begin(file, { keep }, area.call)), { message: 'no room to remember it' })
      t.same(await area.leftovers(), [])
      const draft = await begin(area, file)
      await draft.close()
      await facetOf(area).drop(draft.left.place)
      await facetOf(area).drop(draft.left.place)
      await facetOf(area).drop('nonsense')
      await fails(t, resume(area, file, draft.left), 'not-found')
      t.same(await area.leftovers(), [])
    },
  },
  {
    name: 'a commit that fails leaves the draft as it was',
    facet: 'resuming',
    async run(t, area) {
      const file = area.at('file')
      const draft = await begin(area, file)
      await write(draft, 0, 'new')
      await area.write(file, 'old')
      await fails(t, draft.commit(3, { ...any, condition: 'absent' }), 'exists')
      t.equal(await area.text(file), 'old')
      await draft.close()
      const again = await resume(area, file, draft.left)
      t.equal(again.size, 3)
      const { version } = await area.known(file)
      await again.commit(3, { ...any, condition: { versions: [version] } })
      t.equal(await area.text(file), 'new')
      t.same(await area.leftovers(), [])
    },
  },
]
