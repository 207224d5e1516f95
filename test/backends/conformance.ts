/**
 * One suite for every back end: the rules of backends/backend.ts as tests. Facets select their own tests
 * by being there. What a back end does otherwise is named with its reason, and printed.
 */

import type { Test } from 'tap'
import { join, root } from '../../gateway/core/path.ts'
import { Area, act, type Case, type Harness, type World } from './conformance/area.ts'
import { changing } from './conformance/changing.ts'
import { drafts } from './conformance/drafts.ts'
import { editing } from './conformance/editing.ts'
import { ending } from './conformance/ending.ts'
import { extras } from './conformance/extras.ts'
import { keeping } from './conformance/keeping.ts'
import { leaving } from './conformance/leaving.ts'
import { linking } from './conformance/linking.ts'
import { listing } from './conformance/listing.ts'
import { looking } from './conformance/looking.ts'
import { members } from './conformance/members.ts'
import { racing } from './conformance/racing.ts'
import { reading } from './conformance/reading.ts'
import { xattrs } from './conformance/xattrs.ts'

export type { Deviation, Harness, World } from './conformance/area.ts'

const cases: readonly Case[] = [
  ...looking,
  ...listing,
  ...reading,
  ...drafts,
  ...leaving,
  ...changing,
  ...racing,
  ...editing,
  ...linking,
  ...xattrs,
  ...extras,
  ...keeping,
  ...members,
  ...ending,
]

/** Runs every test that applies, as subtests of `t`. */
export async function conformance(t: Test, harness: Harness): Promise<void> {
  const deviations = new Map(harness.deviations?.map(({ test, reason }) => [test, reason]))
  for (const test of deviations.keys()) {
    if (!cases.some(({ name }) => name === test)) t.fail(`a deviation names no test: ${test}`)
  }
  const shared = await harness.start()
  try {
    let count = 0
    for (const one of cases) {
      if (one.facet && !shared.backend[one.facet]) continue
      const reason = deviations.get(one.name)
      if (reason !== undefined) {
        t.comment(`${harness.name} differs: ${one.name}: ${reason}`)
        continue
      }
      const directory = `area ${++count}`
      await t.test(one.name, (t) => (one.alone ? runAlone(t, one, harness) : runShared(t, one, shared, directory)))
    }
  } finally {
    await shared.backend.close()
    await shared.cleanup()
  }
}

async function runShared(t: Test, one: Case, world: World, directory: string): Promise<void> {
  const base = join(root, directory)
  const area = new Area(world, base)
  await act(world.backend.mkdir(base, area.call))
  await one.run(t, area)
}

async function runAlone(t: Test, one: Case, harness: Harness): Promise<void> {
  const world = await harness.start()
  try {
    await one.run(t, new Area(world, root))
  } finally {
    await world.backend.close()
    await world.cleanup()
  }
}
