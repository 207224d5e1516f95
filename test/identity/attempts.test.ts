import t from 'tap'
import { attemptsInMemory, noteSuccess, permitAttempt } from '../../acl/identity/attempts.ts'
import { StorageError } from '../../gateway/core/errors.ts'

function setUp() {
  let now = 1_700_000_000_000
  const store = attemptsInMemory(() => now)
  /** A wrong guess: true where it was let through to be looked at. */
  const guess = async (user: string, from: string): Promise<boolean> => {
    try {
      await permitAttempt(store, { user, from })
      return true
    } catch (error) {
      const { code, retryAfter } = StorageError.from(error)
      if (code !== 'busy' || !(retryAfter !== undefined && retryAfter > 0)) throw error
      return false
    }
  }
  const signIn = async (user: string, from: string): Promise<boolean> => {
    try {
      await (await permitAttempt(store, { user, from })).succeed()
      return true
    } catch (error) {
      if (StorageError.from(error).code !== 'busy') throw error
      return false
    }
  }
  const count = async (times: number, work: (index: number) => Promise<boolean>) => {
    let passed = 0
    for (let index = 0; index < times; index++) if (await work(index)) passed++
    return passed
  }
  const pass = (seconds: number) => {
    now += seconds * 1000
  }
  return { store, guess, signIn, count, pass }
}

t.test('one account from one address: five, then ever more slowly, up to a minute', async (t) => {
  const { guess, count, pass } = setUp()
  t.equal(await count(20, () => guess('alice', 'a')), 5)
  for (const wait of [1, 2, 4, 8, 16, 32, 60, 60]) {
    pass(wait - 0.5)
    t.equal(await guess('alice', 'a'), false, `not yet after ${wait - 0.5} s`)
    pass(0.5)
    t.equal(await guess('alice', 'a'), true, `after ${wait} s`)
  }
  pass(3601)
  t.equal(await count(20, () => guess('alice', 'a')), 5, 'an hour later it is forgotten')
})

t.test(
  'one address that tries many names is slowed down as well, and so are the addresses of one IPv6 network',
  async (t) => {
    const { guess, count } = setUp()
    t.equal(await count(100, (index) => guess(`user${index}`, 'a')), 30)
    t.equal(await guess('alice', 'b'), true, 'another address')
    t.equal(await count(100, (index) => guess(`user${index}`, `2001:db8:0:1::${index.toString(16)}`)), 30)
    t.equal(await guess('alice', '2001:db8::1:0:0:0:9'), false, 'the same network in other words')
    t.equal(await guess('alice', '2001:db8:0:2::1'), true)
  },
)

t.test('one account that many addresses guess at is slowed down, and its owner is not', async (t) => {
  const { guess, signIn, count, pass } = setUp()
  t.equal(await signIn('alice', 'home'), true)
  t.equal(await count(500, (index) => guess('alice', `10.0.${index >> 8}.${index & 255}`)), 60)
  t.equal(await guess('alice', '10.0.9.9'), false, 'one more address')
  t.equal(await signIn('alice', '10.0.9.9'), false, 'nor the owner from among the guesses')
  t.equal(await signIn('alice', 'home'), true, 'but from where he was')
  t.equal(await count(20, () => guess('alice', 'home')), 5, 'where one may guess no more often than elsewhere')
  pass(29 * 86_400)
  t.equal(await count(500, (index) => guess('alice', `10.1.${index >> 8}.${index & 255}`)), 60)
  t.equal(await signIn('alice', 'home'), true, 'weeks later too')
})

t.test('whoever guesses from all addresses of a network keeps out nobody who comes from another', async (t) => {
  const { guess, signIn, count, pass } = setUp()
  t.equal(await count(200, (index) => guess('alice', `2001:db8:${index.toString(16)}::1`)), 60)
  t.equal(await guess('alice', '2001:db8:ffff::1'), false, 'a new address of the same provider')
  t.equal(await count(200, (index) => guess('alice', `10.0.${index}.1`)), 3, 'another network')
  t.equal(await signIn('alice', '198.51.100.7'), true, 'the owner with a new device, on the road')
  t.equal(await count(20, () => guess('alice', '203.0.113.1')), 3, 'where guesses are few')
  const networks = await count(600, (index) => guess('alice', `${20 + (index % 20)}.7.${index % 256}.1`))
  t.equal(networks, 60, 'three for each of twenty networks')
  pass(59)
  t.equal(await guess('alice', '20.7.99.1'), false)
  pass(1)
  t.equal(await guess('alice', '20.7.99.1'), true, 'all of them together one a minute')
  t.equal(await guess('alice', '21.7.99.1'), false)
})

t.test('who knows one password gains no further guesses at others', async (t) => {
  const { guess, signIn, count } = setUp()
  t.equal(await signIn('mallory', 'a'), true)
  let passed = 0
  for (let index = 0; index < 100; index++) {
    if (await guess(`user${index}`, 'a')) passed++
    await signIn('mallory', 'a')
  }
  t.equal(passed, 30)
  t.equal(await count(5, () => signIn('mallory', 'a')), 5)
})

t.test('what could not be checked is no failure, and a right password in between clears the pair', async (t) => {
  const { store, guess, count } = setUp()
  for (let index = 0; index < 20; index++) await (await permitAttempt(store, { user: 'alice', from: 'a' })).undo()
  t.equal(await count(4, () => guess('alice', 'a')), 4)
  await noteSuccess(store, { user: 'alice', from: 'a' })
  t.equal(await count(10, () => guess('alice', 'a')), 5)
})
