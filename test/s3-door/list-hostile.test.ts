/** Listings of names that somebody has chosen so that they are a nuisance. */

import { ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import { openS3 } from './world.ts'

const bad = '\u0001'

/** What is between tags of this name, in order. */
function all(text: string, name: string): string[] {
  return [...text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map(([, found = '']) => found)
}

t.test('a key that XML cannot write hides none behind it', async (t) => {
  const world = await openS3(t)
  const alice = world.client('alice')
  const keys = ['a', `a${bad}`, 'ab', 'ac', `d${bad}/e`, `d${bad}/f`, 'd1', 'g/h', `g/${bad}`, `i${bad}-j`, 'k']
  for (const Key of keys) await alice.send(new PutObjectCommand({ Bucket: 'data', Key, Body: 'x' }))
  const writable = keys.filter((key) => !key.includes(bad))
  for (const [query, marker, next] of [
    ['', 'marker', 'NextMarker'],
    ['&versions', 'key-marker', 'NextKeyMarker'],
    ['&list-type=2', 'continuation-token', 'NextContinuationToken'],
  ] as const) {
    for (const [delimiter, expected] of [
      ['', writable],
      ['/', ['a', 'ab', 'ac', 'd1', 'g/', 'k']],
      ['-', writable],
    ] as const) {
      for (const most of [1, 2, 3]) {
        const found: string[] = []
        for (let after: string | undefined, pages = 0; pages < 20; pages++) {
          const from = after === undefined ? '' : `&${marker}=${encodeURIComponent(after)}`
          const target = `/data?max-keys=${most}&delimiter=${delimiter}${query}${from}`
          const { text } = await world.raw({ as: 'alice', target })
          const page = [...all(text, 'Key'), ...all(text, 'Prefix').filter((prefix) => prefix !== '')]
          const truncated = text.includes('<IsTruncated>true<')
          t.equal(page.length === most || !truncated, true, 'a page is full if there is another one')
          found.push(...page)
          if (!truncated) break
          after = all(text, next)[0] ?? ''
        }
        t.same(found.toSorted(), [...expected].toSorted(), `${query} by ${most}, delimiter ${delimiter}`)
      }
    }
  }
})

t.test('a listing goes on behind the longest of keys, whatever it holds', async (t) => {
  const world = await openS3(t)
  const alice = world.client('alice')
  const name = bad.repeat(250)
  const keys = ['1', '2', '3'].map((last) => `${name}/${name}/${name}/${name}${last}`)
  for (const Key of keys) await alice.send(new PutObjectCommand({ Bucket: 'data', Key, Body: 'x' }))
  const found: string[] = []
  let ContinuationToken: string | undefined
  do {
    const page = await alice.send(
      new ListObjectsV2Command({
        ...{ Bucket: 'data', MaxKeys: 1, EncodingType: 'url' },
        ...(ContinuationToken && { ContinuationToken }),
      }),
    )
    found.push(...(page.Contents ?? []).map(({ Key = '' }) => decodeURIComponent(Key)))
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken)
  t.same(found, keys)
})

t.test('an upload to a key that XML cannot write hides none behind it', async (t) => {
  const world = await openS3(t)
  const keys = ['a', `a${bad}`, 'ab', `d${bad}/e`, 'd1']
  for (const key of keys) {
    await world.raw({ as: 'alice', method: 'POST', target: `/data/${encodeURIComponent(key)}?uploads` })
  }
  const found: string[] = []
  let after = ''
  for (let pages = 0; pages < 20; pages++) {
    const { text } = await world.raw({ as: 'alice', target: `/data?uploads&max-uploads=1&delimiter=/${after}` })
    found.push(...all(text, 'Key'), ...all(text, 'Prefix').filter((prefix) => prefix !== ''))
    if (!text.includes('<IsTruncated>true<')) break
    const [key = '', id = ''] = [all(text, 'NextKeyMarker')[0], all(text, 'NextUploadIdMarker')[0]]
    after = `&key-marker=${encodeURIComponent(key)}&upload-id-marker=${encodeURIComponent(id)}`
  }
  t.same(found, ['a', 'ab', 'd1'])
})
