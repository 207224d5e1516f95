import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openState } from '../../gateway/state/open.ts'
import type { State } from '../../gateway/state/state.ts'

/** Two connections to one store, as two processes have them, on one clock. */
async function setUp(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-links-'))
  let now = 1_700_000_000_000
  const open = () => openState({ directory, now: () => now })
  const [state, other]: [State, State] = [await open(), await open()]
  t.teardown(async () => {
    await state.close()
    await other.close()
    rmSync(directory, { recursive: true, force: true })
  })
  const pass = (seconds: number) => {
    now += seconds * 1000
  }
  return { links: state.links, others: other.links, pass, now: () => now }
}

const identity = { issuer: 'https://a.example', subject: 's1' }
const link = (id: string, user = 'alice@x', of = identity) => ({ id, ...of, user, by: `basic:${user}`, note: '' })
const bounds = { most: 20, since: 0 }

t.test('an identity has one link, and is found by issuer and subject alone', async (t) => {
  const { links, others, pass, now } = await setUp(t)
  const made = await links.add({ ...link('1'), note: 'my work' }, bounds)
  t.match(made, { ...link('1'), note: 'my work', created: now(), proven: now() })
  t.same(await others.find('https://a.example', 's1'), made)
  for (const [issuer, subject] of [
    ['https://a.example/', 's1'],
    ['https://A.example', 's1'],
    ['https://a.example', 'S1'],
    ['https://a.example', ' s1'],
    ['s1', 'https://a.example'],
    ['https://a.example|s', '1'],
  ]) {
    t.equal(await links.find(issuer ?? '', subject ?? ''), undefined, `${issuer} ${subject}`)
  }
  pass(10)
  const again = await others.add(link('2'), bounds)
  t.same(again, { ...made, proven: made.proven + 10_000 }, 'to the same user it is proven anew')
  await t.rejects(others.add(link('3', 'bob@x'), bounds), { code: 'exists' })
  t.same(await links.get('1'), again)
  t.equal(await links.get('2'), undefined)
})

t.test('of two that link one identity at once one is refused', async (t) => {
  const { links, others } = await setUp(t)
  for (let round = 0; round < 20; round++) {
    const of = { issuer: 'https://a.example', subject: `race ${round}` }
    const answers = await Promise.allSettled([
      links.add(link(`a${round}`, 'alice@x', of), { most: 1000, since: 0 }),
      others.add(link(`b${round}`, 'bob@x', of), { most: 1000, since: 0 }),
    ])
    t.equal(answers.filter(({ status }) => status === 'fulfilled').length, 1)
    const lost = answers.find(({ status }) => status === 'rejected')
    t.match(lost, { reason: { code: 'exists' } })
    const kept = answers.find((answer) => answer.status === 'fulfilled')
    t.same(await links.find(of.issuer, of.subject), kept?.value)
  }
})

t.test('one that counts no more gives way to another user', async (t) => {
  const { links, pass, now } = await setUp(t)
  await links.add(link('1'), bounds)
  pass(100)
  await t.rejects(links.add(link('2', 'bob@x'), { most: 20, since: now() - 100_000 }), { code: 'exists' })
  pass(1)
  await links.add(link('2', 'bob@x'), { most: 20, since: now() - 100_000 })
  t.match(await links.find(identity.issuer, identity.subject), { id: '2', user: 'bob@x' })
  t.equal(await links.get('1'), undefined)
})

t.test('links are bounded, listed in parts, and taken away', async (t) => {
  const { links, others, pass } = await setUp(t)
  for (let index = 0; index < 5; index++) {
    await links.add(link(`${index}`, 'alice@x', { ...identity, subject: `s${index}` }), { most: 5, since: 0 })
    pass(1)
  }
  await t.rejects(links.add(link('5', 'alice@x', { ...identity, subject: 's5' }), { most: 5, since: 0 }), {
    code: 'busy',
  })
  await links.add(link('b', 'bob@x', { ...identity, subject: 's5' }), { most: 5, since: 0 })
  const ids = async (...asked: Parameters<typeof links.list>) =>
    (await others.list(...asked)).map(({ id }) => id).join('')
  t.equal(await ids('alice@x', 10), '43210')
  t.equal(await ids(undefined, 3), 'b43')
  const [, , last] = await others.list(undefined, 3)
  t.equal(await ids(undefined, 3, last), '210')
  t.equal(await others.remove('3'), true)
  t.equal(await links.remove('3'), false)
  t.equal(await ids('alice@x', 10), '4210')
  t.equal(await links.find(identity.issuer, 's3'), undefined)
})

t.test('any text is a subject', async (t) => {
  const { links } = await setUp(t)
  const odd = [
    "'; drop table links; --",
    '"',
    '%',
    '_',
    '\\',
    'ä',
    ' ',
    'a|b',
    'x'.repeat(255),
    '../..',
    '[object Object]',
  ]
  for (const [index, subject] of odd.entries())
    await links.add(link(`${index}`, 'alice@x', { ...identity, subject }), bounds)
  for (const [index, subject] of odd.entries())
    t.match(await links.find(identity.issuer, subject), { id: `${index}`, subject })
  t.equal(await links.find(identity.issuer, 'x'), undefined)
})
