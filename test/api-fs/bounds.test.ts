/** What sessions remember is bounded, and whoever is told of it knows when something was forgotten. */

import t from 'tap'
import { Ledger } from '../../gateway/api/fs/ledger.ts'
import { Listings, type Page } from '../../gateway/api/fs/listings.ts'
import { Looked } from '../../gateway/api/fs/looked.ts'
import { Replies } from '../../gateway/api/fs/replies.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type Path, parsePath } from '../../gateway/core/path.ts'

t.test('directories are forgotten all at once, and that is told', async (t) => {
  const looked = new Looked(new Ledger({ files: 10 }), 'alice')
  let told = 0
  looked.forgotten = () => told++
  for (let index = 0; index < 65_536; index++) looked.at(`/d${index}/x` as Path)
  t.equal(told, 0)
  t.ok(looked.has('/d0' as Path))
  looked.at('/one/more' as Path)
  t.equal(told, 1)
  t.notOk(looked.has('/d0' as Path))
  t.ok(looked.has('/one' as Path))
})

t.test('long names of many sessions find no room at some time, and are given back at the end', async (t) => {
  const ledger = new Ledger({ files: 10 })
  const name = 'x'.repeat(4000)
  let full = false
  const sessions = ['alice', 'bob', 'carol'].map((owner) => new Looked(ledger, owner))
  for (const looked of sessions) {
    looked.forgotten = () => {
      full = true
    }
    for (let index = 0; index < 30_000 && !full; index++) looked.at(`/${name}${index}/x` as Path)
  }
  t.ok(full)
  for (const looked of sessions) looked.clear()
  for (const owner of ['dave', 'erin']) t.ok(ledger.remember(owner, 128 * 1024 * 1024), 'all of it is free again')
  t.notOk(ledger.remember('frank', 1))
})

t.test('one caller leaves room for what others remember', async (t) => {
  const ledger = new Ledger({ files: 10 })
  t.ok(ledger.remember('alice', 128 * 1024 * 1024))
  t.notOk(ledger.remember('alice', 1))
  const looked = new Looked(ledger, 'bob')
  looked.at('/a/b' as Path)
  t.ok(looked.has('/a' as Path))
})

t.test('those that were looked at are found within a tree, however deep', async (t) => {
  const looked = new Looked(new Ledger({ files: 10 }), 'alice')
  const deep = '/d'.repeat(40)
  for (const path of ['/a/b/x', '/ab/x', `${deep}/x`]) looked.at(path as Path)
  t.same(looked.within('/a' as Path, 9), ['/a/b'])
  t.same(looked.within('/' as Path, 9), ['/a/b', '/ab', deep])
  t.same(looked.within(`${'/d'.repeat(30)}` as Path, 9), [deep])
  t.same(looked.within(`${'/d'.repeat(30)}/e` as Path, 9), [])
  t.same(looked.within('/a/b/c' as Path, 9), [])
  looked.clear()
  t.same(looked.within('/a' as Path, 9), [])
})

t.test('a caller has at most half of the open files', async (t) => {
  const ledger = new Ledger({ files: 4 })
  for (let count = 0; count < 2; count++) {
    ledger.requireRoom('alice')
    ledger.open('alice')
  }
  t.throws(() => ledger.requireRoom('alice'), { code: 'busy' })
  for (const other of ['bob', 'carol']) {
    ledger.requireRoom(other)
    ledger.open(other)
  }
  t.throws(() => ledger.requireRoom('dave'), { code: 'busy' })
  ledger.close('alice')
  ledger.requireRoom('dave')
  t.equal(ledger.files, 3)
})

async function* pages(count: number, ended: () => void): AsyncGenerator<Page, undefined> {
  try {
    for (let index = 0; index < count; index++) yield { text: String(index), last: index === count - 1 }
  } finally {
    ended()
  }
}

t.test('of many listings the oldest gives way, and lets go of its directory', async (t) => {
  const ledger = new Ledger({ files: 1000 })
  const listings = new Listings(ledger, 'alice')
  let ended = 0
  const first = await listings.begin(pages(3, () => ended++))
  for (let index = 0; index < 15; index++) await listings.begin(pages(3, () => ended++))
  t.equal(ledger.files, 16)
  t.equal((await listings.next(String(first.cursor))).page.text, '1', 'it was asked last')
  await listings.begin(pages(3, () => ended++))
  t.equal(ended, 1)
  t.equal((await listings.next(`${String(first.cursor).split('.')[0]}.2`)).page.text, '2')
  await t.rejects(listings.next('2.1'), { code: 'invalid' })
  listings.close()
  t.equal(ledger.files, 0)
})

t.test('requests that outlive their session leave nothing behind', async (t) => {
  const ledger = new Ledger({ files: 10 })
  const looked = new Looked(ledger, 'alice')
  looked.at('/a/b' as Path)
  looked.close()
  looked.at('/c/d' as Path)
  looked.listed('/e' as Path)
  t.notOk(looked.has('/c' as Path))
  const listings = new Listings(ledger, 'alice')
  let ended = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  async function* slow(quick: number): AsyncGenerator<Page, undefined> {
    try {
      for (let index = 0; index < 4; index++) {
        if (index >= quick) await promise
        yield { text: String(index), last: false }
      }
    } finally {
      ended++
    }
  }
  const { cursor } = await listings.begin(slow(1))
  const next = t.rejects(listings.next(String(cursor)), { code: 'invalid' })
  const late = t.rejects(listings.begin(slow(0)), { code: 'stale' })
  // Both wait for a page.
  await new Promise((resolve) => setImmediate(resolve))
  listings.close()
  resolve()
  await Promise.all([next, late])
  t.equal(ended, 2)
  t.equal(ledger.files, 0)
  t.ok(ledger.remember('alice', 128 * 1024 * 1024), 'all of it is free again')
})

t.test('what is under way is not done twice, however much comes after it', async (t) => {
  const replies = new Replies<number>()
  const body = Buffer.from('{}')
  const { promise, resolve } = Promise.withResolvers<void>()
  let times = 0
  const slow = () => promise.then(() => ++times)
  const first = replies.once('name-slow', 'rename', body, slow)
  for (let index = 0; index < 200; index++) await replies.once(`name-${index}-x`, 'mkdir', body, async () => index)
  const again = replies.once('name-slow', 'rename', body, slow)
  resolve()
  t.same(await Promise.all([first, again]), [1, 1])
  t.equal(await replies.once('name-199-x', 'mkdir', body, slow), 199, 'and the last ones are still known')
})

t.test('a failure that passes is not remembered, one that stays is', async (t) => {
  const replies = new Replies<object>()
  const body = Buffer.from('{}')
  let attempts = 0
  const fail = (code: 'unavailable' | 'exists') => () => {
    attempts++
    return Promise.reject(new StorageError(code, 'no', { path: parsePath('/') }))
  }
  for (let time = 0; time < 2; time++) {
    await t.rejects(replies.once('name-one', 'mkdir', body, fail('unavailable')), { code: 'unavailable' })
    await t.rejects(replies.once('name-two', 'mkdir', body, fail('exists')), { code: 'exists' })
  }
  t.equal(attempts, 3)
})
