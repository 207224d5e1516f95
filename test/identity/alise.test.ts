import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { Alise } from '../../acl/identity/links/alise.ts'
import type { AliseOptions } from '../../acl/identity/options.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { type AliseDouble, sendJson, startAlise } from '../doubles/alise.ts'

const issuer = 'https://login.helmholtz.de/oauth2'

function ask(double: Pick<AliseDouble, 'url' | 'site' | 'apiKey'>, change: Partial<AliseOptions> = {}) {
  let now = 1_700_000_000_000
  const { url, site, apiKey } = double
  const common = { url, site, apiKey: new Secret(apiKey), issuers: ['login'], form: 'sha1', insecure: true } as const
  const alise = new Alise({ ...common, ...change }, () => now)
  const find = async (subject: string, of = issuer): Promise<string> => {
    try {
      return (await alise.find(of, subject)) ?? 'none'
    } catch (thrown) {
      const error = StorageError.from(thrown)
      return `${error.code}: ${StorageError.reasonOf(error)?.text}`
    }
  }
  const pass = (seconds: number) => {
    now += seconds * 1000
  }
  return { alise, find, pass }
}

t.test('an account is found by issuer and subject, or none', async (t) => {
  const double = await startAlise(t)
  double.issuers.add(issuer).add('https://other.example/')
  double.accounts.set(`${issuer}|aed8@login.helmholtz.de`, 'alice')
  double.accounts.set('https://other.example/|7', 'bob')
  for (const form of ['sha1', 'encoded-twice'] as const) {
    const { find } = ask(double, { form })
    t.equal(await find('aed8@login.helmholtz.de'), 'alice', form)
    t.equal(await find('aed9@login.helmholtz.de'), 'none', form)
    t.equal(await find('7', 'https://other.example/'), 'bob', form)
    t.equal(await find('7', 'https://other.example'), 'none', `${form}: a look-alike is another issuer`)
    t.equal(await find('aed8@login.helmholtz.de', 'https://evil.example'), 'none', form)
  }
})

t.test('subjects with odd characters are asked for as they are, or about nobody', async (t) => {
  const double = await startAlise(t)
  double.issuers.add(issuer)
  const odd = ['a b', 'a+b', 'a/b', 'a%41', '%2e%2e', '?apikey=x', '#', '..', '.', '../../get_apikey', '"', "'", '*']
  for (const subject of odd) double.accounts.set(`${issuer}|${subject}`, 'right')
  // What a server that decodes twice would make of some of them.
  for (const subject of ['aA', 'x']) double.accounts.set(`${issuer}|${subject}`, 'wrong')
  const twice = ask(double, { form: 'encoded-twice' })
  for (const subject of odd) {
    t.equal(await twice.find(subject), /^\.+$/.test(subject) ? 'none' : 'right', subject)
  }
  const once = ask(double)
  for (const subject of odd) t.notMatch(await once.find(subject), /^wrong$/, subject)
})

t.test('an answer about somebody else does not count', async (t) => {
  const double = await startAlise(t)
  const internal = { username: 'alice' }
  const external = [{ iss: issuer, sub: 's1' }]
  const cases: ReadonlyArray<readonly [unknown, string]> = [
    [{ internal, external }, 'alice'],
    [{ internal, external: [{ iss: `${issuer}/`, sub: 's1' }] }, 'alice'],
    [{ internal, external: [{ iss: issuer, sub: 's2' }] }, 'unavailable: its answer is about somebody else'],
    [{ internal, external: [{ iss: 'https://x', sub: 's1' }] }, 'unavailable: its answer is about somebody else'],
    [{ internal, external: 's1' }, 'unavailable: its answer is about somebody else'],
    [{ internal }, 'unavailable: its answer is about somebody else'],
    [{ internal: {}, external }, 'unavailable: its answer names no account'],
    [{ internal: { username: 7 }, external }, 'unavailable: its answer names no account'],
    [{ internal: ['alice'], external }, 'unavailable: its answer names no account'],
    [{ error: 'something broke' }, 'unavailable: its answer names no account'],
    [['alice'], 'unavailable: its answer of status 200 is not a JSON object'],
  ]
  for (const [answer, expected] of cases) {
    double.answer = (_request, response) => sendJson(response, answer)
    t.equal(await ask(double).find('s1'), expected, JSON.stringify(answer))
  }
})

t.test('that nothing can be known is not that there is none', async (t) => {
  const double = await startAlise(t)
  double.issuers.add(issuer)
  const { apiKey: _key, ...others } = double
  t.equal(await ask({ ...others, apiKey: 'wrong' }).find('s1'), 'unavailable: it answers with status 401')
  t.equal(
    await ask({ ...others, site: 'elsewhere', apiKey: double.apiKey }).find('s1'),
    'unavailable: its answer names no account',
  )
  const answers: ReadonlyArray<readonly [AliseDouble['answer'], string]> = [
    [(_request, response) => sendJson(response, { detail: 'Not Found' }, 404), 'it answers with status 404'],
    [(_request, response) => sendJson(response, { message: 'x' }, 500), 'it answers with status 500'],
    [(_request, response) => void response.end('<html>'), 'its answer of status 200 is not a JSON object'],
    [(_request, response) => void response.end('x'.repeat(70_000)), 'its answer is larger than 65536 bytes'],
    [(request) => void request.socket.destroy(), 'it cannot be reached (ECONNRESET)'],
    [
      (request, response) => void response.writeHead(302, { location: `${double.url}${request.url}&x` }).end(),
      'its answer of status 302 is not a JSON object',
    ],
  ]
  for (const [answer, expected] of answers) {
    double.answer = answer
    const before = double.asked.length
    t.equal(await ask(double).find('s1'), `unavailable: ${expected}`)
    t.equal(double.asked.length, before + 1, 'nothing is followed')
  }
  await double.stop()
  t.equal(await ask(double).find('s1'), 'unavailable: it cannot be reached (ECONNREFUSED)')
})

t.test('answers are believed for a while, and who asks the same at once asks once', async (t) => {
  const double = await startAlise(t)
  double.issuers.add(issuer)
  double.accounts.set(`${issuer}|s1`, 'alice')
  const { find, pass } = ask(double)
  t.same(new Set(await Promise.all(Array.from({ length: 50 }, () => find('s1')))), new Set(['alice']))
  t.equal(double.asked.length, 1)
  double.accounts.set(`${issuer}|s1`, 'bob')
  pass(599)
  t.equal(await find('s1'), 'alice')
  pass(2)
  t.equal(await find('s1'), 'bob', 'ten minutes later')
  t.equal(await find('s2'), 'none')
  double.accounts.set(`${issuer}|s2`, 'carol')
  pass(59)
  t.equal(await find('s2'), 'none')
  pass(2)
  t.equal(await find('s2'), 'carol', 'a minute later')
  const asked = double.asked.length
  double.answer = (_request, response) => sendJson(response, {}, 500)
  t.match(await find('s3'), /^unavailable/)
  t.match(await find('s4'), /^unavailable/)
  t.equal(double.asked.length, asked + 1, 'one that has just failed is left alone')
  t.equal(await find('s1'), 'bob', 'what is known stays known')
  double.answer = undefined
  t.match(await find('s3'), /^unavailable/)
  pass(3)
  t.equal(await find('s3'), 'none')
})

t.test('one that does not answer holds nobody for long', { timeout: 30_000 }, async (t) => {
  const silent = createServer(() => {})
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const address = silent.address()
  const port = typeof address === 'object' ? address?.port : 0
  const { find } = ask({ url: `http://127.0.0.1:${port}`, site: 'x', apiKey: 'y' })
  const started = performance.now()
  const answers = await Promise.all(['s1', 's2', 's3'].map((subject) => find(subject)))
  t.ok(performance.now() - started < 10_000)
  for (const answer of answers) t.match(answer, /^unavailable: it cannot be reached/)
})

t.test('the key is in no error and in nothing that is printed', async (t) => {
  const double = await startAlise(t)
  const { alise } = ask(double)
  double.answer = (request, response) => sendJson(response, { error: request.url }, 500)
  const errors: unknown[] = []
  for (const stop of [false, true]) {
    if (stop) await double.stop()
    await ask(double)
      .alise.find(issuer, 's1')
      .catch((error: unknown) => errors.push(error))
  }
  t.equal(errors.length, 2)
  const { inspect } = await import('node:util')
  for (const printed of [...errors, alise].map((value) => inspect(value, { depth: 20, showHidden: true }))) {
    t.notMatch(printed, /k\+y|k%2By/)
    t.notMatch(printed, 'apikey')
  }
})
