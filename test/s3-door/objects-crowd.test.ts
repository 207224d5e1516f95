/** One object that many write, read, tag, copy and delete at the same time, through two processes: nobody sees anything but S3. */

import { createHash } from 'node:crypto'
import t from 'tap'
import { openS3 } from './world.ts'

const rounds = 60

t.test('those who ask for nothing in particular never lose a race', async (t) => {
  const world = await openS3(t, { storage: 'posix' })
  const doors = [world, await world.another()]
  const seen = new Map<string, number>()
  const ask = async (what: string, door: number, method: string, target: string, more = {}) => {
    const answer = await (doors[door % 2] ?? world).raw({ as: 'alice', method, target, ...more })
    const key = `${what} ${answer.status} ${answer.code ?? ''}`.trim()
    seen.set(key, (seen.get(key) ?? 0) + 1)
    return answer
  }
  const every = async (work: (round: number) => Promise<unknown>) => {
    for (let round = 0; round < rounds; round++) await work(round)
  }
  const tagging = '<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>'
  const tagged = { body: tagging, headers: { 'content-md5': createHash('md5').update(tagging).digest('base64') } }
  const torn: string[] = []
  await Promise.all([
    every((round) =>
      ask('put', round, 'PUT', '/data/k', { body: 'a'.repeat(100), headers: { 'x-amz-meta-who': 'a' } }),
    ),
    every((round) =>
      ask('put', round + 1, 'PUT', '/data/k', { body: 'b'.repeat(100_000), headers: { 'x-amz-meta-who': 'b' } }),
    ),
    every((round) => ask('delete', round, 'DELETE', '/data/k')),
    every(async (round) => {
      const { status, text, headers } = await ask('get', round + 1, 'GET', '/data/k')
      if (status !== 200) return
      const isWhole = text === 'a'.repeat(100) || text === 'b'.repeat(100_000)
      if (!isWhole || headers['x-amz-meta-who'] !== text[0])
        torn.push(`${text.slice(0, 10)} ${headers['x-amz-meta-who']} ${text.length}`)
    }),
    every((round) => ask('tag', round, 'PUT', '/data/k?tagging', tagged)),
    every((round) => ask('copy', round + 1, 'PUT', '/data/copy', { headers: { 'x-amz-copy-source': 'data/k' } })),
    every((round) => ask('list', round, 'GET', '/data?list-type=2')),
  ])
  t.same(torn, [], 'bytes and metadata belong together')
  const odd = [...seen].filter(
    ([key]) =>
      !/^(?:put 200|delete 204|get 200|get 404 NoSuchKey|tag 200|tag 404 NoSuchKey|copy 200|copy 404 NoSuchKey|list 200)$/.test(
        key,
      ),
  )
  t.same(odd, [])
  t.comment(JSON.stringify([...seen]))
})
