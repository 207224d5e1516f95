/** The rules of every back end, over a real S3 server. */

import t from 'tap'
import { join } from '../../gateway/core/path.ts'
import type { Deviation, Harness } from '../backends/conformance.ts'
import { conformance } from '../backends/conformance.ts'
import { noRgw, startRgw } from '../peers/rgw.ts'
import { alice, bob, makeBucket } from './world.ts'

const noDirectoryMoves = 'a directory is not moved by the store: it is cross-mount, and Storage moves each thing in it'
const noModes = 'the store has no mode bits: a mode changes the ACL'

const deviations: readonly Deviation[] = [
  { test: 'a path of many names works', reason: 'a key has at most 1,024 bytes' },
  { test: 'a rename keeps id, version and bytes', reason: 'the id of an object is its key' },
  { test: 'a directory moves with all that it holds', reason: noDirectoryMoves },
  { test: 'directories replace empty directories only, files replace no directory', reason: noDirectoryMoves },
  { test: 'a parent that went away meanwhile gets no file', reason: noDirectoryMoves },
  {
    test: 'a directory that took the place of the parent after the look is left alone',
    reason: noDirectoryMoves,
  },
  { test: 'a directory that was swapped after the look is not listed for the other', reason: noDirectoryMoves },
  { test: 'a new mode is a new change time and no new version', reason: noModes },
  { test: 'a file gets no set-user-id, set-group-id or sticky bit', reason: noModes },
  { test: 'equal bytes written twice are two versions', reason: 'the version is the ETag, which tells the bytes' },
  {
    test: 'an open file keeps its bytes when another takes its name',
    reason: 'the store keeps no replaced object: later reads are stale',
  },
]

const skip = noRgw()

t.test('the S3 back end keeps the rules of every back end', { skip, timeout: 300_000 }, async (t) => {
  const rgw = await startRgw()
  t.teardown(() => rgw.stop())
  const harness: Harness = {
    name: 's3',
    deviations,
    async start() {
      const bucket = await makeBucket(rgw, { prefix: 'top/of it' })
      const backend = bucket.open()
      return {
        backend,
        principals: [alice, bob],
        reserved: ['.portolan'],
        fill: async (directory, names) => {
          const keys = names.map((name) => `top/of it${join(directory, name)}`)
          for (let at = 0; at < keys.length; at += 64) {
            await Promise.all(keys.slice(at, at + 64).map((key) => bucket.put(key)))
          }
        },
        leftovers: async () => [
          ...(await bucket.uploads()).map((key) => `upload ${key}`),
          ...[...bucket.services.places].map((place) => `journal ${place}`),
          ...(await bucket.keys('top/of it/.portolan/trial/')),
        ],
        cleanup: () => bucket.end(),
      }
    },
  }
  await conformance(t, harness)
})
