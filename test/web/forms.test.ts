import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { right } from '../../acl/acl.ts'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { TapeWorld } from '../core/tape-world.ts'
import { ace, aclOf, alice, ask, callOf, identity, looking, openDoor } from '../http/door.ts'
import {
  accept,
  asPage,
  boundary,
  closing,
  fill,
  instead,
  pageOf,
  part,
  post,
  rowsOf,
  tokenFor,
  upload,
} from './world.ts'

t.test('files of a form are stored, and the browser is sent back', async (t) => {
  const { port, audit } = await openDoor(t)
  const token = await tokenFor(port, '/data/')
  const body =
    part('csrf', token) + part('files', 'one', 'a.txt') + part('files', 'two', 'b c.txt') + part('files', '', 'empty')
  const answer = await upload(port, '/data/', body + closing)
  t.equal(answer.status, 303)
  t.equal(answer.headers.location, '/data/?done=stored')
  t.equal((await ask(port, 'GET', '/data/a.txt')).text, 'one')
  t.equal((await ask(port, 'GET', '/data/b%20c.txt')).text, 'two')
  t.equal((await ask(port, 'GET', '/data/empty')).text, '')
  t.match((await pageOf(port, '/data/?done=stored', 'alice')).text, 'Everything was stored.')
  t.equal(audit.records.filter(({ action, outcome }) => action === 'create' && outcome === 'ok').length, 3)
})

t.test('what is there stays, unless the form says otherwise', async (t) => {
  const setting = await openDoor(t)
  await fill(setting, { 'a.txt': 'old' })
  const { port } = setting
  const csrf = part('csrf', await tokenFor(port, '/data/'))
  const refused = await upload(
    port,
    '/data/',
    csrf + part('files', 'new', 'a.txt') + part('files', 'x', 'b.txt') + closing,
  )
  t.equal(refused.status, 200)
  t.strictSame(asPage(refused).barriers, [])
  t.match(refused.text, '<span class="name">a.txt</span>: there is something of this name already')
  t.match(refused.text, /<h2 class="good">Stored<\/h2>\n<ul><li><span class="name">b.txt/)
  t.equal((await ask(port, 'GET', '/data/a.txt')).text, 'old')
  const alone = await upload(port, '/data/', csrf + part('files', 'new', 'a.txt') + closing)
  t.equal(alone.status, 412)
  const replaced = await upload(port, '/data/', csrf + part('replace', 'yes') + part('files', 'new', 'a.txt') + closing)
  t.equal(replaced.status, 303)
  t.equal((await ask(port, 'GET', '/data/a.txt')).text, 'new')
})

t.test('programs get what became of each file as JSON', async (t) => {
  const { port } = await openDoor(t)
  const csrf = part('csrf', await tokenFor(port, '/data/'))
  const body = csrf + part('files', 'x', 'a') + part('files', 'y', 'a') + part('files', 'z', '..') + closing
  const { status, text } = await upload(port, '/data/', body, { headers: { accept: '*/*' } })
  t.equal(status, 200)
  t.strictSame(JSON.parse(text), {
    stored: ['a'],
    refused: [
      { name: 'a', code: 'precondition', why: 'there is something of this name already' },
      { name: '..', code: 'invalid', why: 'the path holds a dot segment' },
    ],
  })
})

t.test('nothing is stored for a form that is not ours', async (t) => {
  const { port, storage } = await openDoor(t)
  const own = await tokenFor(port, '/data/')
  const anonymous = /value="([^"]+)"/.exec((await pageOf(port, '/data/')).text)?.[1] ?? ''
  const file = part('files', 'x', 'a')
  const forms: ReadonlyArray<readonly [string, string, Readonly<Record<string, string>>]> = [
    ['no token', file, {}],
    ['an empty token', part('csrf', '') + file, {}],
    ['a token behind the file', file + part('csrf', own), {}],
    ["somebody else's token", part('csrf', anonymous) + file, {}],
    ['a token as a file', part('csrf', own, 'csrf') + file, {}],
    ['another site', part('csrf', own) + file, { origin: 'https://evil.example' }],
    ['another site, as the browser says', part('csrf', own) + file, { 'sec-fetch-site': 'cross-site' }],
  ]
  for (const [what, body, headers] of forms) {
    const answer = await upload(port, '/data/', body + closing, { headers })
    t.equal(answer.status, 403, what)
    t.strictSame(asPage(answer).barriers, [])
  }
  for (const fields of [{ mkdir: 'd' }, { mkdir: 'd', csrf: anonymous }, { delete: 'a', confirmed: 'yes' }]) {
    t.equal((await post(port, '/data/', fields)).status, 403, JSON.stringify(fields))
  }
  const { pages } = await storage.list(callOf(alice), parsePath('/data'))
  for await (const page of pages()) t.fail(`there is ${page[0]?.name}`)
})

t.test('whoever may not store is told so in plain words', async (t) => {
  const { port } = await openDoor(t)
  const csrf = part('csrf', await tokenFor(port, '/data/', 'bob'))
  const answer = await upload(port, '/data/', csrf + part('files', 'x', 'a') + closing, { as: 'bob' })
  t.equal(answer.status, 403)
  t.match(answer.text, 'you may not do this')
  const own = part('csrf', await tokenFor(port, '/data/'))
  const gone = await upload(port, '/data/none/', own + part('files', 'x', 'a') + closing)
  t.equal(gone.status, 409)
  t.match(gone.text, 'the parent directory does not exist')
  t.equal((await upload(port, '/data', own + part('files', 'x', 'a') + closing)).status, 409, 'no slash, no directory')
  t.equal((await upload(port, '/data/', own + closing)).status, 400, 'no file at all')
  t.equal((await upload(port, '/data/', own + part('files', '', '') + closing)).status, 400, 'no file chosen')
})

t.test('names are what the file is called, wherever it lay', async (t) => {
  const { port } = await openDoor(t)
  const csrf = part('csrf', await tokenFor(port, '/data/'))
  const names: ReadonlyArray<readonly [string, string | number]> = [
    ['C:\\fakepath\\one.txt', 'one.txt'],
    ['\\\\server\\share\\two.txt', 'two.txt'],
    ['/etc/three.txt', 'three.txt'],
    ['../../four.txt', 'four.txt'],
    ['dir/sub/five.txt', 'five.txt'],
    ['back\\slash.txt', 'back\\slash.txt'],
    ['a:colon.txt', 'a:colon.txt'],
    ['\\first.txt', '\\first.txt'],
    ['naïve ☃.txt', 'naïve ☃.txt'],
    ['a\\"b.txt', 'a"b.txt'],
    ['a=b;c.txt', 'a=b;c.txt'],
    ['..', 400],
    ['.', 400],
    ['dir/', 400],
    ['nul\0.txt', 400],
    ['x'.repeat(256), 414],
  ]
  for (const [sent, expected] of names) {
    const answer = await upload(port, '/data/', csrf + part('files', sent, sent) + closing)
    if (typeof expected === 'number') t.equal(answer.status, expected, sent)
    else t.equal((await ask(port, 'GET', `/data/${encodeURIComponent(expected)}`)).text, sent, sent)
  }
})

t.test('a form that ends early, or is none, leaves nothing behind', async (t) => {
  const { port, storage } = await openDoor(t)
  const csrf = part('csrf', await tokenFor(port, '/data/'))
  const file = part('files', 'x'.repeat(100_000), 'a')
  const nested = `--${boundary}\r\nContent-Disposition: form-data; name="files"; filename="n"\r\nContent-Type: multipart/mixed; boundary=Z\r\n\r\n--Z--\r\n`
  const bodies: ReadonlyArray<readonly [string, string]> = [
    ['nothing', ''],
    ['no closing boundary', (csrf + file).slice(0, -2)],
    ['a file cut short', (csrf + file).slice(0, -500)],
    ['no boundary', 'hello'],
    ['a form in the form', csrf + nested + closing],
    ['no name', `${csrf}--${boundary}\r\nContent-Disposition: form-data\r\n\r\nx\r\n${closing}`],
    ['no headers', `${csrf}--${boundary}\r\n\r\nx\r\n${closing}`],
    [
      'long headers',
      `${csrf}--${boundary}\r\nX-Pad: ${'x'.repeat(20_000)}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nx\r\n${closing}`,
    ],
    [
      'an encoded part',
      `${csrf}--${boundary}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n${closing}`,
    ],
  ]
  for (const [what, body] of bodies) t.equal((await upload(port, '/data/', body)).status, 400, what)
  const long = await upload(port, '/data/', csrf + part('note', 'x'.repeat(10_000)) + file + closing)
  t.equal(long.status, 413, 'a long field')
  const many = csrf + Array.from({ length: 1001 }, () => part('note', '')).join('')
  t.equal((await upload(port, '/data/', many + file + closing)).status, 413, 'too many parts')
  const none = await upload(port, '/data/', csrf + closing, { headers: { 'content-type': 'multipart/form-data' } })
  t.equal(none.status, 400, 'a header without a boundary')
  t.equal(
    (await ask(port, 'POST', '/data/', { as: 'alice', body: 'x', headers: { 'content-type': 'text/plain' } })).status,
    415,
  )
  const { pages } = await storage.list(callOf(alice), parsePath('/data'))
  for await (const page of pages()) t.fail(`there is ${page[0]?.name}`)
})

t.test('of a form that goes wrong later it is told what was stored', async (t) => {
  const { port } = await openDoor(t)
  const csrf = part('csrf', await tokenFor(port, '/data/'))
  const many = Array.from({ length: 1000 }, () => part('note', '')).join('')
  const headless = `--${boundary}\r\n\r\nx\r\n`
  const wrongs: ReadonlyArray<readonly [string, number, string]> = [
    [many, 413, 'the form has too many parts'],
    [headless, 400, 'a part of the form has no name'],
  ]
  for (const [index, [wrong, status, why]] of wrongs.entries()) {
    const body = (name: string) => csrf + part('files', 'x', `${name}${index}`) + wrong + closing
    const json = await upload(port, '/data/', body('a'), { headers: { accept: '*/*' } })
    t.equal(json.status, status)
    const ended = { code: status === 413 ? 'too-large' : 'invalid', why }
    t.strictSame(JSON.parse(json.text), { stored: [`a${index}`], refused: [], ended })
    const page = asPage(await upload(port, '/data/', body('b')))
    t.equal(page.status, status)
    t.strictSame(page.barriers, [])
    t.match(page.text, /Not everything was stored[\s\S]*Stored<\/h2>\n<ul><li><span class="name">b\d/)
    t.match(page.text, `What came after that was not looked at: ${why}.`)
  }
})

t.test('a form that ends while its file is being opened is answered, and the file given up', async (t) => {
  const discarded = Promise.withResolvers<unknown>()
  const { port, storage } = await openDoor(t, {
    around: (storage) =>
      instead(storage, {
        write: async (call, path, options) => {
          const writing = await storage.write(call, path, options)
          // By now the whole form has come.
          for (let turn = 0; turn < 100; turn++) await setImmediate()
          const discard = async (error: unknown) => {
            await writing.discard(error)
            discarded.resolve(error)
          }
          const { body, replaces } = writing
          return { body, replaces, announce: () => {}, commit: () => writing.commit(), discard }
        },
      }),
  })
  const csrf = part('csrf', await tokenFor(port, '/data/'))
  const answer = await upload(port, '/data/', csrf + part('files', 'x', 'a').slice(0, -2))
  t.equal(answer.status, 400)
  t.match(await discarded.promise, { code: 'invalid' })
  await t.rejects(storage.stat(callOf(alice), parsePath('/data/a')), { code: 'not-found' })
})

t.test('a storage that is full says so, and the files behind are tried', async (t) => {
  const { port } = await openDoor(t, {
    around: (storage) =>
      instead(storage, {
        write: async (call, path, options) => {
          if (path === '/data/big') throw new StorageError('quota', 'over quota', { path })
          return storage.write(call, path, options)
        },
      }),
  })
  const csrf = part('csrf', await tokenFor(port, '/data/'))
  const body = csrf + part('files', 'x'.repeat(3_000_000), 'big') + part('files', 'y', 'small') + closing
  const answer = await upload(port, '/data/', body)
  t.equal(answer.status, 200)
  t.match(answer.text, 'big</span>: the quota is used up')
  t.equal((await ask(port, 'GET', '/data/small')).text, 'y')
})

t.test('a file that is refused when all of it is there does not keep the others out', async (t) => {
  const { port } = await openDoor(t, {
    around: (storage) =>
      instead(storage, {
        write: async (call, path, options) => {
          const writing = await storage.write(call, path, options)
          if (path !== '/data/late') return writing
          const { body, replaces } = writing
          const discard = (error: unknown) => writing.discard(error)
          const commit = async () => Promise.reject(new StorageError('quota', 'over quota', { path }))
          return { body, replaces, announce: () => {}, commit, discard }
        },
      }),
  })
  const csrf = part('csrf', await tokenFor(port, '/data/'))
  const body = csrf + part('files', 'x', 'first') + part('files', 'y'.repeat(1000), 'late') + part('files', 'z', 'last')
  const answer = await upload(port, '/data/', body + closing, { headers: { accept: '*/*' } })
  t.equal(answer.status, 200)
  t.strictSame(JSON.parse(answer.text), {
    stored: ['first', 'last'],
    refused: [{ name: 'late', code: 'quota', why: 'the quota is used up' }],
  })
})

t.test('of a form that is announced too long nothing is stored', async (t) => {
  const { port, storage } = await openDoor(t, { limits: { maxUpload: 2_000_000 } })
  const csrf = part('csrf', await tokenFor(port, '/data/'))
  const body = csrf + part('files', 'x', 'first') + part('files', 'y'.repeat(3_000_000), 'second') + closing
  t.equal((await upload(port, '/data/', body)).status, 413)
  await t.rejects(storage.stat(callOf(alice), parsePath('/data/first')), { code: 'not-found' })
})

t.test('a folder is made', async (t) => {
  const { port } = await openDoor(t)
  const csrf = await tokenFor(port, '/data/')
  const made = await post(port, '/data/', { csrf, mkdir: 'new & föld=er' })
  t.equal(made.status, 303)
  t.equal(made.headers.location, '/data/?done=made')
  t.strictSame(
    rowsOf(await pageOf(port, '/data/')).map(([name]) => name),
    ['new & föld=er/'],
  )
  const twice = await post(port, '/data/', { csrf, mkdir: 'new & föld=er' })
  t.equal(twice.status, 412)
  t.match(twice.text, 'href="/data/">Go to the folder')
  for (const name of ['..', 'a/b', '', '\0'])
    t.equal((await post(port, '/data/', { csrf, mkdir: name })).status, 400, name)
  t.equal((await post(port, '/data/', { csrf, mkdir: 'x'.repeat(256) })).status, 414)
})

t.test('deleting asks first, and deletes what was asked about', async (t) => {
  const setting = await openDoor(t)
  const { port, storage } = setting
  await fill(setting, { 'a\nb "c".txt': 'x', dir: null, 'dir/inside': 'x' })
  const csrf = await tokenFor(port, '/data/')
  const file = 'a%0Ab%20%22c%22.txt'
  const buttons = (await pageOf(port, '/data/', 'alice')).elements.filter(({ name }) => name === 'button')
  t.ok(buttons.some(({ attributes }) => attributes.name === 'delete' && attributes.value === file))
  const question = asPage(await post(port, '/data/', { csrf, delete: file }))
  t.equal(question.status, 200)
  t.strictSame(question.barriers, [])
  t.match(question.text, 'Delete a␊b &quot;c&quot;.txt?')
  const fields = Object.fromEntries(
    question.elements.flatMap(({ attributes: { name, value } }) =>
      name !== undefined && value !== undefined ? [[name, value]] : [],
    ),
  )
  delete fields.viewport
  const changed = await post(port, '/data/', { ...fields, version: 'other' })
  t.equal(changed.status, 412, 'another version than the one that was asked about')
  t.equal((await post(port, '/data/', fields)).status, 303)
  t.equal((await post(port, '/data/', fields)).status, 404)
  t.match((await post(port, '/data/', { csrf, delete: 'dir' })).text, 'and everything in it')
  const full = await post(port, '/data/', { csrf, delete: 'dir', confirmed: 'yes' })
  t.equal(full.status, 409)
  t.match(full.text, 'Tick')
  t.equal((await post(port, '/data/', { csrf, delete: 'dir', confirmed: 'yes', all: 'yes' })).status, 303)
  await t.rejects(storage.stat(callOf(alice), parsePath('/data/dir')), { code: 'not-found' })
  t.equal((await post(port, '/data/', { csrf, delete: '..%2Fx', confirmed: 'yes' })).status, 400)
  t.equal((await post(port, '/data/', { csrf, delete: 'x', rename: 'y' })).status, 400, 'two wishes')
  t.equal((await post(port, '/data/', { csrf })).status, 400, 'none')
  t.equal((await post(port, '/data/', { csrf, delete: 'none' })).status, 404)
})

t.test('a link is deleted as one', async (t) => {
  const { port, storage } = await openDoor(t, {
    around: (storage) =>
      instead(storage, { stat: async (...args) => ({ ...(await storage.stat(...args)), type: 'symlink' as const }) }),
  })
  await fill({ storage }, { a: 'x' })
  const csrf = await tokenFor(port, '/data/')
  t.match((await post(port, '/data/', { csrf, delete: 'a' })).text, 'deletes the link, and not what it leads to: <')
})

t.test('renaming never takes a name that is taken', async (t) => {
  const setting = await openDoor(t)
  const { port } = setting
  await fill(setting, { a: 'one', b: 'two' })
  const csrf = await tokenFor(port, '/data/')
  const question = asPage(await post(port, '/data/', { csrf, rename: 'a' }))
  t.strictSame(question.barriers, [])
  t.match(question.text, 'New name of')
  t.equal((await post(port, '/data/', { csrf, rename: 'a', to: 'b' })).status, 412)
  t.equal((await post(port, '/data/', { csrf, rename: 'a', to: 'c' })).headers.location, '/data/?done=renamed')
  t.equal((await ask(port, 'GET', '/data/c')).text, 'one')
  t.equal((await ask(port, 'GET', '/data/b')).text, 'two')
  t.equal((await post(port, '/data/', { csrf, rename: 'c', to: '../c' })).status, 400)
})

t.test('rights are decided when a form is sent, whatever its page showed', async (t) => {
  const setting = await openDoor(t)
  await fill(setting, { a: 'x' })
  const { port } = setting
  const csrf = await tokenFor(port, '/data/', 'bob')
  for (const fields of [{ mkdir: 'd' }, { delete: 'a', confirmed: 'yes' }, { rename: 'a', to: 'b' }]) {
    const answer = await post(port, '/data/', { csrf, ...fields }, 'bob')
    t.equal(answer.status, 403, JSON.stringify(fields))
    t.match(answer.text, /explain\?path=%2Fdata%2F[ad]&amp;action=/)
  }
  const open = await openDoor(t, { acl: aclOf(ace({ user: 'bob@desy.de' }, looking | right.addFile)) })
  const token = part('csrf', await tokenFor(open.port, '/data/', 'bob'))
  t.match((await pageOf(open.port, '/data/', 'bob')).text, 'You may see what is in it and add files.')
  const stored = await upload(open.port, '/data/', token + part('files', 'x', 'new') + closing, { as: 'bob' })
  t.equal(stored.status, 303)
})

t.test('a file on tape is asked for by a button', async (t) => {
  const world = new TapeWorld(t)
  const storage = await world.open()
  const { port } = await openDoor(t, { around: () => storage })
  await world.fill(storage, '/pnfs/on tape', '/pnfs/on-disk')
  world.tape().put(parsePath('/on tape'), 'tape')
  world.tape().put(parsePath('/on-disk'), 'disk')
  const page = await pageOf(port, '/pnfs/', 'alice')
  t.strictSame(page.barriers, [])
  t.match(page.text, 'portolan stage /pnfs/NAME')
  const staging = page.elements.filter(({ attributes }) => attributes.name === 'stage')
  t.strictSame(
    staging.map(({ attributes }) => attributes.value),
    ['on%20tape'],
  )
  t.strictSame(Object.fromEntries(rowsOf(page).map((row) => [row[0], row[5]])), {
    'on tape': 'on tape',
    'on-disk': 'on disk',
  })
  const csrf = await tokenFor(port, '/pnfs/')
  const asked = await post(port, '/pnfs/', { csrf, stage: 'on%20tape' })
  t.equal(asked.headers.location, '/pnfs/?done=staged')
  t.equal(world.orders.length, 1)
  const missing = await post(port, '/pnfs/', { csrf, stage: 'none' })
  t.match(missing.text, 'Not asked for')
  t.notMatch((await pageOf(port, '/pnfs/')).text, 'name="stage"', 'nobody stages without saying who it is')
})

t.test('the cookie of a share link opens pages without forms', async (t) => {
  const secret = new Secret('c2hhcmU')
  const { port } = await openDoor(t, {
    identity: {
      ...identity,
      authenticate: async (credential) => {
        const isLink = credential.kind === 'bearer' && credential.token.reveal() === secret.reveal()
        return isLink ? { ...alice, macaroon: secret } : identity.authenticate(credential)
      },
    },
  })
  const { text } = await ask(port, 'GET', '/data/', { headers: { accept, cookie: `portolan-link=${secret.reveal()}` } })
  t.match(text, 'By a link of <span class="name">')
  t.notMatch(text, 'Signed in as', 'whoever looks need not be its maker')
  t.match(text, 'You may see what is in it.', 'what the link allows besides is for programs')
  t.notMatch(text, /<form|<button/)
})
