/** Stores and networks that fail: nothing is believed that is not whole, and nothing is written twice. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { inspect } from 'node:util'
import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { act, fails, pattern } from '../backends/conformance/area.ts'
import { type Fake, type Fault, item, listing, refuse } from './fake.ts'
import { file, secret, setUp, sometimes } from './fake-world.ts'
import { alice } from './world.ts'

const isTransfer: Parameters<typeof sometimes>[1] = ({ method, key, headers }) =>
  method === 'GET' && key === 'file' && headers.range !== undefined

/** Sends the head of a whole answer and half of its body. */
const half: Fault = ({ headers }, response, store) => {
  const { bytes, etag, time } = store.objects.get('file') ?? store.put('file', '')
  const start = Number(/^bytes=(\d+)/.exec(headers.range ?? '')?.[1])
  const rest = bytes.subarray(start)
  response.writeHead(206, {
    ETag: etag,
    'Last-Modified': time.toUTCString(),
    'Content-Range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
    'Content-Length': rest.length,
  })
  response.write(rest.subarray(0, rest.length / 2))
  return true
}
const halfAndReset: Fault = (asked, response, store) => {
  half(asked, response, store)
  setImmediate(() => response.destroy())
  return true
}

t.test('a transfer that breaks off goes on where it was', async (t) => {
  const { fake, area } = await setUp(t)
  const bytes = pattern(900_000)
  fake.put('file', bytes)
  fake.fault = sometimes(3, isTransfer, halfAndReset)
  t.ok((await area.read(file)).equals(bytes))
  t.equal(fake.asked.filter((line) => line === 'GET file').length, 4)
})

t.test('a transfer that breaks off again and again fails', async (t) => {
  const { fake, area } = await setUp(t)
  fake.put('file', pattern(900_000))
  fake.fault = sometimes(100, isTransfer, halfAndReset)
  await fails(t, area.read(file), 'unavailable')
})

t.test('a transfer that does not move is given up', async (t) => {
  const { fake, area } = await setUp(t)
  fake.put('file', pattern(900_000))
  fake.fault = sometimes(100, isTransfer, half)
  await fails(t, area.read(file), 'unavailable')
})

t.test('bytes of another object are never taken for those of the open one', async (t) => {
  const { fake, area } = await setUp(t)
  fake.put('file', pattern(1000))
  const open = await act(area.backend.open(file, {}, area.call))
  fake.put('file', Buffer.alloc(1000))
  await fails(t, buffer(open.stream({ start: 0, end: 1000 })), 'stale', 'by the condition')
  // A store that overlooks it.
  fake.fault = sometimes(100, isTransfer, (_asked, response) => {
    const about = { ETag: '"other"', 'Last-Modified': new Date().toUTCString(), 'Content-Range': 'bytes 0-999/1000' }
    response.writeHead(206, about).end(Buffer.alloc(1000))
    return true
  })
  await fails(t, buffer(open.stream({ start: 0, end: 1000 })), 'stale', 'by the ETag')
})

t.test('a range that is none, and bytes beyond it, are refused', async (t) => {
  const { fake, area } = await setUp(t)
  const { etag } = fake.put('file', pattern(1000))
  const open = await act(area.backend.open(file, {}, area.call))
  const about = { ETag: etag, 'Last-Modified': new Date().toUTCString() }
  fake.fault = sometimes(100, isTransfer, (_asked, response) => {
    response.writeHead(200, about).end(pattern(1000))
    return true
  })
  await fails(t, buffer(open.stream({ start: 10, end: 20 })), 'unsupported')
  fake.fault = sometimes(100, isTransfer, (_asked, response) => {
    response.writeHead(206, { ...about, 'Content-Range': 'bytes 10-19/1000' }).end(pattern(5000))
    return true
  })
  await fails(t, buffer(open.stream({ start: 10, end: 20 })), 'unavailable')
})

const lists: ReadonlyArray<readonly [string, string]> = [
  ['a document that is cut off', listing(item('a') + item('b')).slice(0, -30)],
  ['a document that is cut off after an empty element', `${listing(item('a')).slice(0, -40)}<Prefix/>`],
  ['a page of HTML', '<!DOCTYPE html><html><body>Sign in</body></html>'],
  ['another document', '<ListAllMyBucketsResult></ListAllMyBucketsResult>'],
  ['an error with status 200', '<Error><Code>InternalError</Code></Error>'],
  ['nothing', ''],
  ['a page that comes again and again', listing(item('b') + item('c'), 'on')],
  ['what was not asked for', listing(item('elsewhere/a'))],
  ['a document without an end', `<ListBucketResult>${' '.repeat(9 * 2 ** 20)}</ListBucketResult>`],
]

for (const [what, document] of lists) {
  t.test(`a listing is not believed: ${what}`, async (t) => {
    const { fake, area } = await setUp(t)
    fake.put('dir/', '')
    fake.fault = ({ query }, response) => {
      if (!query.has('list-type') || !query.has('delimiter')) return false
      response.end(document.replaceAll('<Key>', what === 'what was not asked for' ? '<Key>' : '<Key>dir/'))
      return true
    }
    await fails(t, area.list(parsePath('/dir')), 'unavailable')
  })
}

t.test('reads are tried again while the store is busy, and say so in the end', async (t) => {
  const { fake, area } = await setUp(t)
  fake.put('file', 'bytes')
  const busy: Fault = (_asked, response) => {
    refuse(response, 503, 'SlowDown', { 'Retry-After': '7' })
    return true
  }
  fake.fault = sometimes(2, ({ method }) => method === 'HEAD', busy)
  t.equal(await area.text(file), 'bytes')
  fake.fault = sometimes(100, ({ key }) => key.startsWith('.portolan/'), busy)
  const error = await area.backend.walk(file, area.call).catch((thrown: unknown) => thrown)
  t.ok(error instanceof StorageError && error.code === 'busy')
  t.equal(error instanceof StorageError && error.retryAfter, 7)
})

const isCommit: Parameters<typeof sometimes>[1] = ({ method, key }) => method === 'PUT' && key === 'file'
const commits = (fake: Fake) => fake.asked.filter((line) => line === 'PUT file').length
const sidecar = '.portolan/acl/:file'

t.test('a commit that the store refuses leaves nothing and is not tried again', async (t) => {
  const { fake, area } = await setUp(t)
  fake.fault = sometimes(100, isCommit, (_asked, response) => {
    refuse(response, 503, 'SlowDown')
    return true
  })
  await fails(t, area.write(file, 'bytes'), 'busy')
  t.equal(commits(fake), 1)
  t.notOk(fake.objects.has('file') || fake.objects.has(sidecar))
})

t.test('a commit without an answer is unknown, is not tried again and keeps its ACL', async (t) => {
  const { fake, area } = await setUp(t)
  fake.fault = sometimes(100, isCommit, ({ key, body }, response, store) => {
    store.put(key, body)
    response.destroy()
    return true
  })
  await fails(t, area.write(file, 'bytes'), 'unavailable')
  t.equal(commits(fake), 1)
  t.ok(fake.objects.has(sidecar))
  fake.fault = () => false
  t.equal((await area.known(file)).acl?.owner, alice.user)
})

t.test('a part that fails is sent again, a completion that ends in an error is not', async (t) => {
  const { fake, area, services } = await setUp(t)
  const isPart: typeof isCommit = ({ method, query }) => method === 'PUT' && query.has('partNumber')
  fake.fault = sometimes(2, isPart, (_asked, response) => {
    response.destroy()
    return true
  })
  const bytes = pattern(11 * 2 ** 20)
  await area.write(file, bytes)
  t.ok(fake.objects.get('file')?.bytes.equals(bytes))
  const isCompletion: typeof isCommit = ({ method, query, key }) =>
    method === 'POST' && query.has('uploadId') && key === 'file'
  let completions = 0
  fake.fault = sometimes(100, isCompletion, (_asked, response) => {
    completions++
    response.end('<?xml version="1.0"?><Error><Code>InternalError</Code></Error>')
    return true
  })
  await fails(t, area.write(file, bytes), 'unavailable')
  t.equal(completions, 1)
  t.equal(services.places.size, 0, 'the upload is aborted')
})

t.test('a store that does not answer costs no more than the deadline', async (t) => {
  const { fake, area } = await setUp(t, { deadline: 1000 })
  fake.fault = () => true
  const started = performance.now()
  await fails(t, area.backend.walk(file, area.call), 'unavailable')
  t.ok(performance.now() - started < 5000)
})

t.test('sidecars that are none of ours mean no ACL, for all that lies below', async (t) => {
  const { fake, area } = await setUp(t)
  fake.put('dir/file', 'x')
  for (const garbage of ['', '<html>', '{"format":2}', '{"format":1,"acl":{"aces":7}}', 'x'.repeat(600_000)]) {
    fake.put('.portolan/acl/:dir', garbage)
    const { ancestors, entry } = await area.backend.walk(parsePath('/dir/file'), area.call)
    t.equal(ancestors[0]?.acl?.owner, alice.user)
    t.equal(ancestors[1]?.acl, undefined, garbage.slice(0, 20))
    t.equal(entry?.acl, undefined)
    await fails(t, area.write(parsePath('/dir/new'), 'x'), 'denied')
  }
})

t.test('errors hold nothing of the key', async (t) => {
  const { fake, area } = await setUp(t)
  fake.fault = (_asked, response) => {
    refuse(response, 403, 'SignatureDoesNotMatch')
    return true
  }
  const error = await area.backend.walk(file, area.call).catch((thrown: unknown) => thrown)
  const text = inspect(error, { depth: 20, showHidden: true })
  for (const word of [secret, 'Signature=', 'AWS4-HMAC', 'uthorization']) t.notOk(text.includes(word), word)
})

t.test('nothing in the environment counts', async (t) => {
  const hostile = {
    AWS_ENDPOINT_URL: 'http://127.0.0.1:1',
    AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:1',
    AWS_REGION: 'elsewhere',
    AWS_PROFILE: 'none',
    AWS_ACCESS_KEY_ID: 'other',
    AWS_SECRET_ACCESS_KEY: 'other',
    AWS_USE_FIPS_ENDPOINT: 'true',
    AWS_USE_DUALSTACK_ENDPOINT: 'true',
    AWS_MAX_ATTEMPTS: '9',
    AWS_CONFIG_FILE: '/nonexistent',
    AWS_CA_BUNDLE: '/nonexistent',
    AWS_AUTH_SCHEME_PREFERENCE: 'sigv4a',
    AWS_SIGV4A_SIGNING_REGION_SET: '*',
  }
  const before = Object.fromEntries(Object.keys(hostile).map((name) => [name, process.env[name]]))
  Object.assign(process.env, hostile)
  t.teardown(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  const { fake, area } = await setUp(t)
  const seen = new Set<string>()
  fake.fault = ({ headers }) => {
    seen.add(/Credential=([^,]*)/.exec(headers.authorization ?? '')?.[1]?.replace(/\d{8}/, 'day') ?? 'none')
    return false
  }
  await area.write(file, 'bytes')
  t.same([...seen], ['key/day/nowhere/s3/aws4_request'])
})

t.test('over TLS only the given authority counts, and bytes are not hashed twice', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-s3-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const names = ['-subj', '/CN=fake', '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  execFileSync('openssl', [...kind, ...names, '-keyout', key, '-out', certificate], { stdio: 'ignore' })
  const cert = readFileSync(certificate)
  const { fake, area } = await setUp(t, { ca: cert.toString() }, { key: readFileSync(key), cert })
  const hashes = new Set<unknown>()
  fake.fault = ({ headers }) => {
    hashes.add(headers['x-amz-content-sha256'])
    return false
  }
  await area.write(file, 'bytes')
  t.equal(await area.text(file), 'bytes')
  t.same([...hashes], ['UNSIGNED-PAYLOAD'])
  const { area: other } = await setUp(t, { endpoint: fake.endpoint })
  await fails(t, other.backend.walk(file, other.call), 'unavailable', 'an authority of nobody')
})

t.test('a transfer may take longer than the deadline of a request', async (t) => {
  const { fake, area } = await setUp(t, { deadline: 1500, stall: 10_000 })
  const { bytes, etag, time } = fake.put('file', pattern(40))
  fake.fault = (asked, response) => {
    if (!isTransfer(asked)) return false
    const start = Number(/^bytes=(\d+)/.exec(asked.headers.range ?? '')?.[1])
    response.writeHead(206, {
      ETag: etag,
      'Last-Modified': time.toUTCString(),
      'Content-Range': `bytes ${start}-39/40`,
      'Content-Length': 40 - start,
    })
    let at = start
    const timer = setInterval(() => response.write(bytes.subarray(at, ++at)), 60)
    response.on('close', () => clearInterval(timer))
    return true
  }
  t.ok((await area.read(file)).equals(bytes))
  t.equal(fake.asked.filter((line) => line === 'GET file').length, 1, 'at one go')
})

t.test('an answer that trickles costs no more than the deadline', async (t) => {
  const { fake, area } = await setUp(t, { deadline: 1000 })
  fake.put('file', 'x')
  for (const kind of ['list', 'sidecar']) {
    fake.fault = ({ query, key }, response) => {
      if (kind === 'list' ? !query.has('list-type') : !key.startsWith('.portolan/')) return false
      response.writeHead(200, { ETag: '"x"', 'Last-Modified': new Date().toUTCString(), 'Content-Length': 5000 })
      const timer = setInterval(() => response.write(' '), 20)
      response.on('close', () => clearInterval(timer))
      return true
    }
    const started = performance.now()
    await fails(t, area.backend.walk(file, area.call), 'unavailable', kind)
    t.ok(performance.now() - started < 8000, kind)
  }
})

t.test('names of a store that does not encode them are taken as they are', async (t) => {
  const { fake, area } = await setUp(t)
  for (const name of ['a+b', 'a%20c', 'a d']) fake.put(name, 'x')
  fake.fault = ({ query }, response, { objects }) => {
    if (!query.has('list-type') || query.get('prefix') !== '') return false
    const items = [...objects.keys()].filter((key) => !key.startsWith('.')).sort()
    const text = items.map((key) => item(key, objects.get(key)).replace(encodeURIComponent(key), key)).join('')
    response.end(listing(text).replace('<EncodingType>url</EncodingType>', ''))
    return true
  }
  t.same(await area.names(parsePath('/')), ['a d', 'a%20c', 'a+b'])
})

t.test('a listing of empty pages without end is given up', async (t) => {
  const { fake, area } = await setUp(t)
  fake.put('dir/', '')
  let pages = 0
  fake.fault = ({ query }, response) => {
    if (!query.has('list-type') || query.get('prefix') !== 'dir/') return false
    response.end(listing('', `token-${pages++}`))
    return true
  }
  await fails(t, area.backend.walk(parsePath('/dir'), area.call), 'unavailable')
  fake.fault = ({ query }, response) => {
    if (!query.has('delimiter')) return false
    response.end(listing('', `token-${pages++}`))
    return true
  }
  await fails(t, area.list(parsePath('/dir')), 'unavailable')
})

t.test('a store that does not know what it was asked to look below is not believed', async (t) => {
  const { fake, area } = await setUp(t)
  fake.put('file', 'x')
  fake.fault = ({ query }, response) => {
    if (!query.has('list-type')) return false
    response.end(listing(item('file')))
    return true
  }
  await fails(t, area.backend.walk(file, area.call), 'unavailable')
})

t.test('two that remove the last files of a directory do not hinder each other', async (t) => {
  const { fake, area } = await setUp(t)
  fake.put('dir/a', 'x')
  fake.put('dir/b', 'x')
  fake.fault = sometimes(
    1,
    ({ method, key }) => method === 'PUT' && key === 'dir/',
    (_asked, response, store) => {
      store.put('dir/', '')
      refuse(response, 412, 'PreconditionFailed')
      return true
    },
  )
  await area.remove(parsePath('/dir/a'))
  t.same(await area.names(parsePath('/dir')), ['b'])
})

t.test('a completion is sent with no condition that the store misreads', async (t) => {
  const { fake, area } = await setUp(t)
  const bytes = pattern(6 * 2 ** 20)
  fake.put('file', 'old')
  fake.fault = ({ headers }, response) => {
    if (headers['if-match'] === undefined) return false
    refuse(response, 412, 'PreconditionFailed')
    return true
  }
  await area.write(file, bytes)
  t.ok(fake.objects.get('file')?.bytes.equals(bytes))
})

t.test('an answer without a time lets go of its connection', async (t) => {
  const { fake, area } = await setUp(t, { connections: 2, deadline: 30_000 })
  fake.put('file', 'x')
  fake.fault = sometimes(
    6,
    ({ key }) => key.startsWith('.portolan/'),
    (_asked, response) => {
      response.writeHead(200, { ETag: '"x"', 'Content-Length': 400_000 }).end('x'.repeat(400_000))
      return true
    },
  )
  await fails(t, area.backend.walk(file, area.call), 'unavailable')
  fake.fault = () => false
  const started = performance.now()
  t.ok((await area.backend.walk(file, area.call)).entry)
  t.ok(performance.now() - started < 20_000)
})

t.test('ETags without quotes are ETags', async (t) => {
  const { fake, area } = await setUp(t)
  const { bytes, etag, time } = fake.put('file', 'bytes')
  fake.fault = ({ method, key, headers }, response) => {
    if (key !== 'file') return false
    if (headers['if-match'] !== undefined && headers['if-match'] !== etag) refuse(response, 412, 'PreconditionFailed')
    else {
      const about = {
        ETag: etag.replaceAll('"', ''),
        'Last-Modified': time.toUTCString(),
        'Content-Length': bytes.length,
      }
      response.writeHead(200, about).end(method === 'HEAD' ? undefined : bytes)
    }
    return true
  }
  t.equal(await area.text(file), 'bytes')
})

t.test('redirects of the store are not followed', async (t) => {
  const { fake: elsewhere } = await setUp(t)
  elsewhere.put('file', 'x')
  for (const status of [301, 302, 303, 307, 308]) {
    const { fake, area } = await setUp(t)
    fake.fault = (_asked, response) => {
      const Location = new URL('/bucket/file', elsewhere.endpoint).href
      refuse(response, status, 'TemporaryRedirect', { Location, 'x-amz-bucket-region': 'elsewhere' })
      return true
    }
    await fails(t, area.backend.walk(file, area.call), 'unavailable', String(status))
  }
  t.same(elsewhere.asked, [])
})
