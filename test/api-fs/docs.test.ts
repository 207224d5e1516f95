/** docs/fs-api.md is true: it names every operation, and its example is played. */

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { operations } from '../../gateway/api/fs/operations/table.ts'
import { openFs } from './client.ts'

const page = readFileSync(resolve(import.meta.dirname, '../../docs/fs-api.md'), 'utf8')

t.test('the page has a row for every operation and for no other', async (t) => {
  const rows = [...page.matchAll(/^\| `([a-z-]+)`( ¹)? \|/gm)]
  t.same(rows.map(([, name]) => name).toSorted(), [...operations.keys()].toSorted())
  const marked = rows.filter(([, , mark]) => mark !== undefined).map(([, name]) => name)
  const once = [...operations].filter(([, { once }]) => once).map(([name]) => name)
  t.same(marked.toSorted(), once.toSorted(), 'those that are not to be done twice are marked')
})

t.test('the example is played', async (t) => {
  const { mount } = await openFs(t)
  const client = await mount()
  client.session = ''
  const [, example = ''] = /^```\n(> POST session[\s\S]*?)^```/m.exec(page) ?? []
  const lines = example.trim().split('\n')
  t.ok(lines.length > 10)
  for (let at = 0; at < lines.length; at += 2) {
    const [, method = '', what = '', body] = /^> (\S+) (\S+)(?: (.*))?$/.exec(lines[at] ?? '') ?? []
    const [, status, expected] = /^< (\d+)(?: (.*))?$/.exec(lines[at + 1] ?? '') ?? []
    const type: Record<string, string> = method === 'POST' ? { 'content-type': 'application/json' } : {}
    const answer = await client.send(method, what, type, body)
    t.equal(answer.status, Number(status), `${lines[at]}: ${answer.body}`)
    if (expected?.startsWith('{')) t.match(answer.json, JSON.parse(expected), String(lines[at]))
    else t.equal(answer.body.toString(), expected ?? '')
    if (answer.status === 201) client.session = String(answer.json.session)
  }
})
