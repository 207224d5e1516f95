/** What a sender says of an upload after it was allowed. */

import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { callBy, World } from './world.ts'

const path = parsePath('/data/file')
const hello = Buffer.from('062c0215', 'hex')

async function begin(limits: { readonly maxUpload?: number; readonly stagedBytesPerPrincipal?: number } = {}) {
  const world = new World({ '/data': {} }, limits)
  const writing = await world.storage.write(callBy('keeper'), path)
  return { world, writing }
}

t.test('what is announced before the first byte is checked and kept', async (t) => {
  const { world, writing } = await begin()
  writing.announce({ size: 5, expected: { adler32: hello }, digests: ['md5'] })
  writing.body.end('hello')
  const { digests } = await writing.commit()
  t.same(Object.keys(digests).sort(), ['adler32', 'md5'])
  t.same(Buffer.from(digests.adler32 ?? []), hello)
  world.end()
})

t.test('a size or checksum that comes out otherwise commits nothing', async (t) => {
  for (const [announced, code] of [
    [{ size: 4 }, 'invalid'],
    [{ size: 6 }, 'invalid'],
    [{ expected: { adler32: Buffer.from('00000001', 'hex') } }, 'bad-checksum'],
  ] as const) {
    const { world, writing } = await begin()
    writing.announce(announced)
    writing.body.on('error', () => {}).end('hello')
    await t.rejects(writing.commit(), { code })
    t.equal(await world.state('/data/file'), 'not-found')
    world.end()
  }
})

t.test('after the first byte only checksums that are computed can be announced', async (t) => {
  const { world, writing } = await begin()
  writing.announce({ digests: ['adler32'] })
  writing.body.write('hello')
  t.throws(() => writing.announce({ size: 5 }), { code: 'invalid' })
  t.throws(() => writing.announce({ digests: ['md5'] }), { code: 'invalid' })
  t.throws(() => writing.announce({ expected: { md5: Buffer.alloc(16) } }), { code: 'invalid' })
  writing.announce({ expected: { adler32: hello } })
  t.equal((await writing.commit()).entry.size, 5)
  t.throws(() => writing.announce({ size: 5 }), { code: 'cancelled' })
  world.end()
})

t.test('an announced size counts against the limits until the upload ends', async (t) => {
  const { world, writing } = await begin({ maxUpload: 100, stagedBytesPerPrincipal: 60 })
  t.throws(() => writing.announce({ size: 101 }), { code: 'too-large' })
  t.throws(() => writing.announce({ size: 61 }), { code: 'busy' })
  writing.announce({ size: 60 })
  const other = await world.storage.write(callBy('keeper'), parsePath('/data/other'))
  t.throws(() => other.announce({ size: 1 }), { code: 'busy' })
  await writing.discard()
  other.announce({ size: 60 })
  await other.discard()
  world.end()
})
