/** Names that want to be something else, and targets that want to be somewhere else. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startTestGateway } from './harness.ts'
import { makeLab } from './tree.ts'

t.setTimeout(180_000)

const names = [
  'with space',
  ' leading and trailing ',
  "it's",
  'a "quoted" one',
  '#hash',
  'question?mark=1&more=2',
  'per%cent',
  '%2e%2e%2f',
  'plus+minus',
  'semi;colon',
  'new\nline',
  'carriage\rreturn',
  'tab\there',
  'bell\u0007and\u007fdelete',
  'abc\u202Edef\u200F',
  '🦑 and 👩‍🔬',
  '-rf',
  '--help',
  '.hidden',
  '..two dots first',
  '...',
  'back\\slash',
  '<svg onload=alert(1)>',
  '"><img src=x onerror=alert(1)>',
  'javascript:alert(1)',
  'http:',
  'C:',
  '~',
  '*',
  '{"entries":[]}',
  "');DROP TABLE files;--",
  'café',
  'cafe\u0301',
  'UPPER',
  'upper',
  'x'.repeat(255),
  'ü'.repeat(127),
  'CON',
  'trailing.',
]

/** The first begins like the names of uploads that are under way. */
const hidden = ['.portolan-stage-0123456789abcdef01234567', '.snapshots']

const encode = (name: string) => encodeURIComponent(name)

const gateway = await startTestGateway(t, {
  mounts: [
    {
      path: '/lab',
      make: (top) => {
        const tree = makeLab(top)
        for (const name of hidden) tree.file(`bob/${name}`, 'bob', 'hidden')
        tree.file('bob/shown', 'bob', 'shown')
        writeFileSync(Buffer.concat([Buffer.from(join(top, 'bob/')), Buffer.from([0x66, 0xff])]), 'not UTF-8')
      },
      backend: { reserved: ['.snapshots'] },
    },
  ],
})

t.test('any name is written, listed, read and removed as it is', async (t) => {
  for (const name of names) {
    const { status } = await gateway.put(`/lab/alice/${encode(name)}`, 'alice', `in ${name}`)
    t.equal(status, 201, `PUT ${JSON.stringify(name)}`)
  }
  t.same(readdirSync(join(gateway.tree('/lab'), 'alice')).toSorted(), names.toSorted(), 'on disk')

  const json = await gateway.get('/lab/alice/', 'alice', { Accept: 'application/json' })
  t.match(json.headers['content-type'], 'application/json')
  const listed = json.json().entries.map(({ name }: { name: string }) => name)
  t.same(listed.toSorted(), names.toSorted(), 'as JSON')

  const lines = await gateway.get('/lab/alice/', 'alice', { Accept: 'application/x-ndjson' })
  t.match(lines.headers['content-type'], 'application/x-ndjson')
  const parsed = lines.text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line).name)
  t.same(parsed.toSorted(), names.toSorted(), 'as NDJSON')

  const page = await gateway.get('/lab/alice/', 'alice', { Accept: 'text/html' })
  t.match(page.headers['content-type'], 'text/html')
  t.notMatch(page.text, /<svg onload|<img src=x/i, 'no name becomes markup')
  const base = `${gateway.url}/lab/alice/`
  const targets = [...page.text.matchAll(/href="([^"]*)"/g)].map(([, href = '']) => new URL(plainOf(href), base))
  t.ok(
    targets.every(({ origin }) => origin === new URL(base).origin),
    'no link leads to another place',
  )
  const linked = new Set(targets.map(({ pathname }) => pathname))

  for (const name of names) {
    const path = `/lab/alice/${encode(name)}`
    const { status, text } = await gateway.get(path, 'alice')
    t.same({ status, text }, { status: 200, text: `in ${name}` }, `GET ${JSON.stringify(name)}`)
    const link = [...linked].find((pathname) => decodeURIComponent(pathname) === `/lab/alice/${name}`)
    t.ok(link, `the page links to ${JSON.stringify(name)}`)
    if (link) t.equal((await gateway.get(link, 'alice')).text, `in ${name}`, 'and the link works')
  }
  for (const name of names) {
    const { status } = await gateway.request({ method: 'DELETE', path: `/lab/alice/${encode(name)}`, user: 'alice' })
    t.equal(status, 204, `DELETE ${JSON.stringify(name)}`)
  }
  t.same(readdirSync(join(gateway.tree('/lab'), 'alice')), [], 'nothing is left')
})

/** The references that our own pages write. */
function plainOf(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(amp|lt|gt|quot|apos));/gi, (_, hex, decimal, name) => {
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16))
    if (decimal) return String.fromCodePoint(Number(decimal))
    return { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[String(name).toLowerCase()] ?? ''
  })
}

t.test('a target that is not a plain path touches nothing', async (t) => {
  const before = readdirSync(gateway.tree('/lab'), { recursive: true }).toSorted()
  const long = (bytes: number) =>
    `/lab/alice/${Array.from({ length: bytes }, () => 'a')
      .join('')
      .replace(/.{200}/g, '$&/')}`
  const targets: ReadonlyArray<readonly [target: string, statuses: readonly number[]]> = [
    ['/lab/alice/../bob', [400]],
    ['/lab/alice/..', [400]],
    ['/../etc/passwd', [400]],
    ['/lab/alice/./x', [400]],
    ['/lab/alice//x', [400]],
    ['//lab/alice/x', [400]],
    ['/lab/alice/%2e%2e/bob/x', [400]],
    ['/lab/alice/%2E./bob/x', [400]],
    ['/lab/alice/x%2Fy', [400]],
    ['/lab/alice/x%2fy', [400]],
    ['/lab/alice/%00', [400]],
    ['/lab/alice/x%00.txt', [400]],
    ['/lab/alice/%c0%af', [400]],
    ['/lab/alice/%e0%80%ae', [400]],
    ['/lab/alice/%f8%80%80%80%ae', [400]],
    ['/lab/alice/%ed%a0%80', [400]],
    ['/lab/alice/%ff', [400]],
    ['/lab/alice/%', [400]],
    ['/lab/alice/%4', [400]],
    ['/lab/alice/%zz', [400]],
    ['/lab/alice/é', [400]],
    [`/lab/alice/${'x'.repeat(256)}`, [400, 414]],
    [`/lab/alice/${encodeURIComponent('ü'.repeat(128))}`, [400, 414]],
    [long(4097), [400, 414]],
    [long(20_000), [400, 414]],
    ['lab/alice/x', [400]],
    ['*', [400]],
  ]
  for (const [path, statuses] of targets) {
    for (const method of ['GET', 'PUT', 'DELETE'] as const) {
      const answer = await gateway.request({ method, path, user: 'alice', ...(method === 'PUT' && { body: 'x' }) })
      const shown = path.length > 60 ? `${path.slice(0, 60)}… (${path.length})` : path
      t.ok(statuses.includes(answer.status), `${method} ${shown} gives ${answer.status}`)
      t.match(answer.headers['content-type'], 'application/problem+json', 'with a problem document')
    }
  }
  t.same(readdirSync(gateway.tree('/lab'), { recursive: true }).toSorted(), before, 'the tree is as it was')
})

t.test('names of our own, reserved names and those that are not UTF-8 do not exist for anyone', async (t) => {
  const { status, json } = await gateway.get('/lab/bob/', 'bob', { Accept: 'application/json' })
  t.equal(status, 200)
  t.same(
    json().entries.map(({ name }: { name: string }) => name),
    ['shown'],
  )
  for (const name of hidden) {
    const path = `/lab/bob/${name}`
    t.equal((await gateway.get(path, 'bob')).status, 404, `GET ${name}`)
    t.equal((await gateway.get(`${path}/below`, 'bob')).status, 404, `GET below ${name}`)
    const put = await gateway.put(path, 'bob', 'mine')
    t.ok([400, 403, 404, 409].includes(put.status), `PUT ${name} gives ${put.status}`)
    const removed = await gateway.request({ method: 'DELETE', path, user: 'bob' })
    t.ok([400, 403, 404, 409].includes(removed.status), `DELETE ${name} gives ${removed.status}`)
    t.equal(readFileSync(join(gateway.tree('/lab'), 'bob', name), 'utf8'), 'hidden', 'untouched')
  }
})
