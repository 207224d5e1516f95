/** Rules without a store: sizes of parts, the form of sidecars, keys. */

import t from 'tap'
import { Filling } from '../../backends/s3/filling.ts'
import { Keys } from '../../backends/s3/keys.ts'
import { largestObject, sizeOfPart } from '../../backends/s3/parts.ts'
import { decodeSidecar, encodeSidecar, maxSidecarBytes, type Sidecar, tellsTime } from '../../backends/s3/sidecar.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { openAcl } from './world.ts'

const MiB = 2 ** 20

t.test('parts are even for long, and all of them hold the largest object', async (t) => {
  for (const partSize of [5 * MiB, 16 * MiB, 600 * MiB]) {
    const sizes = Array.from({ length: 10_000 }, (_, index) => sizeOfPart(index + 1, partSize, undefined))
    t.equal(Math.max(...sizes.slice(0, 5000)), partSize)
    t.same(
      sizes,
      sizes.toSorted((one, other) => one - other),
    )
    t.ok(Math.max(...sizes) <= 5 * 1024 * MiB, 'no part is larger than a part may be')
    const sum = sizes.reduce((total, size) => total + size, 0)
    t.ok(sum >= largestObject, `${partSize}: ${sum}`)
  }
  for (const announced of [0, 1000 * MiB, 200 * 1024 * MiB, largestObject]) {
    const sizes = Array.from({ length: 10_000 }, (_, index) => sizeOfPart(index + 1, 16 * MiB, announced))
    t.equal(sizes[0], 16 * MiB, 'an announcement costs no memory')
    t.ok(sizes.reduce((total, size) => total + size, 0) >= announced)
    t.ok(Math.max(...sizes) <= 5 * 1024 * MiB)
  }
})

t.test('a filling takes what fits and forgets what was taken', async (t) => {
  const filling = new Filling()
  t.equal(filling.add(Buffer.from('hello'), 8), 5)
  t.equal(filling.add(Buffer.from('world'), 8), 3)
  const { bytes, recycle } = filling.take()
  t.equal(bytes.toString(), 'hellowor')
  t.equal(filling.length, 0)
  filling.add(Buffer.from('next'), 8)
  t.equal(bytes.toString(), 'hellowor', 'bytes on their way are not written over')
  recycle()
  t.equal(filling.bytes.toString(), 'next')
})

const sidecars: readonly Sidecar[] = [
  {},
  { acl: openAcl },
  {
    acl: { ...openAcl, owner: undefined, aces: [] },
    properties: new Map([
      ['__proto__', 'x\u0000\ud83e\udded'],
      ['', ''],
    ]),
  },
  { digests: { version: 'v', values: { md5: Buffer.alloc(16, 1), adler32: Buffer.alloc(4) } } },
  { modified: { version: 'v', at: 1_000_000_000n, time: -5n } },
  { acl: openAcl, moving: { version: 'v', after: {} } },
  {
    moving: {
      version: 'v',
      before: { acl: openAcl, modified: { version: 'v', at: 1n, time: 2n } },
      after: { acl: openAcl, properties: new Map([['a', 'b']]) },
    },
  },
]

t.test('a sidecar comes back as it was, and its size says whether it tells a time', async (t) => {
  for (const sidecar of sidecars) {
    for (const stamp of ['', 'x', 'xy']) {
      const bytes = encodeSidecar(sidecar, stamp)
      t.same(decodeSidecar(bytes), sidecar)
      t.equal(tellsTime(bytes.length), sidecar.modified !== undefined)
    }
  }
})

t.test('a sidecar is bounded', async (t) => {
  const properties = new Map([['key', 'x'.repeat(maxSidecarBytes)]])
  t.throws(
    () => encodeSidecar({ properties }, ''),
    new StorageError('too-large', 'ACL and properties together are too large'),
  )
  t.equal(decodeSidecar(Buffer.alloc(maxSidecarBytes + 1, ' ')), undefined)
})

const garbage: readonly string[] = [
  '',
  'null',
  '[]',
  '{}',
  '{"format":2}',
  '{"format":1,"acl":null}',
  '{"format":1,"acl":{"aces":[{"type":"allow","who":"OWNER@","rights":"?"}]}}',
  '{"format":1,"properties":{"a":"b"}}',
  '{"format":1,"properties":[["a"]]}',
  '{"format":1,"properties":[["a",1]]}',
  '{"format":1,"digests":{"version":"v","values":{"md5":"xyz"}}}',
  '{"format":1,"digests":[]}',
  '{"format":1,"modified":{"version":"v","at":"1","time":"1e9"}}',
  '{"format":1,"modified":{"version":"v","at":1,"time":1}}',
  '{"format":1,"moving":{"version":"v"}}',
  '{"format":1,"moving":{"version":"v","after":{"format":2}}}',
  '{"format":1,"moving":{"version":"v","before":null,"after":{"format":1}}}',
  '{"format":1}x',
]

t.test('anything else is no sidecar', async (t) => {
  for (const text of garbage) t.equal(decodeSidecar(Buffer.from(text)), undefined, text)
  t.equal(decodeSidecar(Buffer.from([0xff, 0xfe])), undefined)
})

t.test('sidecars of different things have different keys, none of which a path can name', async (t) => {
  const keys = new Keys('/lab/data/')
  const paths = ['/', '/a', '/:a', '/a/b', '/:a/b', '/a/:b', '/:a/:b', '/::a'].map(parsePath)
  const all = paths.map((path) => keys.sidecar(path))
  t.equal(new Set(all).size, paths.length)
  for (const key of all) {
    t.ok(key.startsWith('lab/data/.portolan/acl/'))
    t.equal(keys.reach(parsePath(`/${key.slice('lab/data/'.length)}`)), 0)
  }
  t.throws(() => new Keys('a/../b'))
  t.throws(() => new Keys('a/.portolan/acl'), { code: 'invalid' })
  t.throws(() => keys.requireReach(parsePath(`/${'x'.repeat(200)}`.repeat(6))), { code: 'name-too-long' })
})
