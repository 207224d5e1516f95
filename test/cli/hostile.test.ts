import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { portolan, scratch } from './running.ts'
import { world } from './world.ts'

/** A server that answers as it likes. */
async function impostor(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close().closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** What a terminal would obey: everything below space but the line feed, DEL, C1, direction changes. */
const obeyed = /[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/

t.setTimeout(120_000)

t.test('a wrong path or name on the command line is wrong usage', async (t) => {
  const { run } = await world(t)
  const lines = [
    ['ls', 'relative'],
    ['cat', '/data/../x'],
    ['rm', '/data//x'],
    ['explain', 'read', 'x'],
    ['acl', 'get', '/data/./a'],
    ['acl', 'set', '/data/hello.txt', '-a', 'nonsense'],
    ['put', '-', `/data/${'x'.repeat(300)}`],
    ['ls', '--url', 'ftp://127.0.0.1/'],
  ]
  for (const words of lines) {
    const { code, stderr } = await run(words)
    t.equal(code, 2, `${words.join(' ')}: ${stderr}`)
    t.notMatch(stderr, /bug|at .*\.ts/)
  }
})

t.test('a password in a URL is refused and not repeated', async (t) => {
  let asked = 0
  const url = await impostor(t, (_request, response) => {
    asked++
    response.end()
  })
  for (const named of [url.replace('//', '//alice:sesame@'), 'ftp://alice:sesame@x/', 'http://alice:sesame@']) {
    for (const options of [{ words: ['--url', named] }, { words: [], env: { PORTOLAN_URL: named } }]) {
      const { code, stderr, stdout } = await portolan(['ls', ...options.words], {
        ...(options.env && { env: options.env }),
      })
      t.equal(code, 2, named)
      t.notMatch(stderr + stdout, /sesame/)
    }
  }
  t.equal(asked, 0)
})

t.test('nothing that a server says is obeyed by the terminal', async (t) => {
  const evil = 'x\x1b]0;owned\x07\u009b31m\u202ey\x7f'
  const url = await impostor(t, (request, response) => {
    const send = (value: unknown, type = 'application/json') => {
      response.setHeader('content-type', type)
      response.end(JSON.stringify(value))
    }
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x')
    if (pathname.endsWith('/whoami'))
      return send({ id: evil, user: evil, groups: [evil], grants: [{ kind: evil, path: evil }], expires: evil })
    if (pathname.endsWith('/explain'))
      return send({
        principal: { id: evil, user: evil, groups: [] },
        action: evil,
        path: evil,
        allowed: evil,
        steps: [
          { check: evil, allowed: evil, reason: { rule: evil, text: evil, path: evil } },
          { check: 'credential', allowed: true, reason: { rule: evil, text: evil } },
          {
            check: 'traverse',
            allowed: false,
            reason: { rule: evil, text: evil },
            directories: [{ path: evil, allowed: false, reason: { rule: evil, text: evil } }],
          },
        ],
        identity: [{ step: evil, passed: false, text: evil }],
        advice: evil,
      })
    if (pathname.endsWith('/acl/effective'))
      return send({
        path: evil,
        action: evil,
        owner: evil,
        group: evil,
        lookedAt: 1,
        users: [{ user: evil, allowed: true, rule: evil, text: evil, path: evil }],
        notes: [evil],
      })
    if (pathname.endsWith('/acl')) return send({ owner: searchParams.get('path'), group: null, aces: [] })
    if (pathname.endsWith('/refused')) {
      response.statusCode = 403
      return send(
        { title: evil, detail: evil, call: evil, explain: `http://x/?action=read&path=${encodeURIComponent(evil)}` },
        'application/problem+json',
      )
    }
    return send(
      { name: evil, type: 'symlink', target: evil, modified: evil, etag: evil, locality: evil },
      'application/x-ndjson',
    )
  })
  const lines = [
    ['ls', '-l', '/a'],
    ['ls', '--json', '/a'],
    ['whoami'],
    ['whoami', '--json'],
    ['explain', 'read', '/a'],
    ['explain', 'read', '/a', '--json'],
    ['acl', 'who', '/a'],
    ['acl', 'who', '/a', '--json'],
    ['acl', 'set', '-R', '-a', 'A::EVERYONE@:r', '/a'],
    ['cat', '/refused'],
    ['token'],
    ['put', `./${evil.replaceAll('/', '')}`, '/a'],
    ['cat', '/a', '-o', `/nowhere/${evil}`],
    ['ls', '--url', evil],
    ['acl', 'set', '/a', '-x', evil],
    [evil],
    ['serve', '-c', evil],
    ['ls', '--token-file', evil],
  ]
  const play = async (words: readonly string[]) => {
    const { stdout, stderr, code } = await portolan(words, { env: { PORTOLAN_URL: url, BEARER_TOKEN: 'alice' } })
    t.notMatch(stdout, obeyed, `${JSON.stringify(words)} to stdout`)
    t.notMatch(stderr, obeyed, `${JSON.stringify(words)} to stderr, exit ${code}`)
    t.notMatch(stderr, /this is a bug/, JSON.stringify(words))
  }
  for (let at = 0; at < lines.length; at += 5) await Promise.all(lines.slice(at, at + 5).map(play))
})

t.test('a date that is none is no bug of ours', async (t) => {
  const url = await impostor(t, (_request, response) => {
    response.writeHead(200, { 'last-modified': 'yesterday', etag: '"x"', 'content-length': '0' }).end()
  })
  const { stderr, code } = await portolan(['ls', '-d', '/a'], { env: { PORTOLAN_URL: url } })
  t.notMatch(stderr, /bug/)
  t.equal(code, 0)
})

t.test('output that cannot be written is a failure', async (t) => {
  const { url } = await world(t)
  const full = openSync('/dev/full', 'w')
  for (const words of [
    ['ls', '/data'],
    ['cat', '/data/hello.txt'],
    ['whoami', '--json'],
  ]) {
    const child = spawn(process.execPath, [resolve(import.meta.dirname, '../../gateway/cli.ts'), ...words], {
      env: { PATH: process.env.PATH, PORTOLAN_URL: url, BEARER_TOKEN: 'alice' },
      stdio: ['ignore', full, 'pipe'],
    })
    let text = ''
    child.stderr?.on('data', (chunk) => {
      text += chunk
    })
    const [code] = await once(child, 'close')
    t.equal(code, 1, words.join(' '))
    t.match(text, /ENOSPC/)
    t.notMatch(text, /bug/)
  }
})

t.test('a local file that cannot be written says so', async (t) => {
  const { run } = await world(t)
  const { code, stderr } = await run(['cat', '/data/hello.txt', '-o', '/nowhere/x'])
  t.equal(code, 1)
  t.match(stderr, /ENOENT/)
  t.notMatch(stderr, /bug/)
})

t.test('a part that is kept is ours, and the right one', async (t) => {
  const { run, url } = await world(t)
  const directory = scratch(t)
  const { headers } = await fetch(`${url}/data/hello.txt`, { headers: { authorization: 'Bearer alice' } })
  const name = createHash('sha256')
    .update(headers.get('etag') ?? '')
    .digest('hex')
    .slice(0, 12)
  const target = join(directory, 'victim')
  writeFileSync(target, 'mine')
  symlinkSync(target, join(directory, `out.${name}.part`))
  const linked = await run(['cat', '/data/hello.txt', '-o', join(directory, 'out')])
  t.equal(readFileSync(target, 'utf8'), 'mine')
  t.not(linked.code, 0)
  writeFileSync(join(directory, `long.${name}.part`), 'this is longer than the file ever was')
  const long = await run(['cat', '/data/hello.txt', '-o', join(directory, 'long')])
  if (long.code === 0) t.equal(readFileSync(join(directory, 'long'), 'utf8'), 'hello world\n')
  else t.fail(long.stderr)
})

t.test('a server that ignores If-Match does not get two versions put together', async (t) => {
  let count = 0
  const url = await impostor(t, (request, response) => {
    const range = /^bytes=(\d+)-/.exec(request.headers.range ?? '')
    const start = Number(range?.[1] ?? 0)
    const etag = count++ === 0 ? '"one"' : '"two"'
    response.writeHead(range ? 206 : 200, {
      etag,
      'content-length': 10 - start,
      ...(range && { 'content-range': `bytes ${start}-9/10` }),
    })
    if (count === 1) {
      response.write('01234')
      setTimeout(() => response.destroy(), 100)
    } else response.end('ABCDEFGHIJ'.slice(start))
  })
  const { code, stdout } = await portolan(['cat', '/a'], { env: { PORTOLAN_URL: url } })
  t.not(code, 0)
  t.equal(stdout, '01234')
})

t.test('a pipe under the name of the demo holds nothing up', { timeout: 20_000 }, async (t) => {
  const directory = scratch(t)
  mkdirSync(join(directory, 'demo'))
  await once(execFile('mkfifo', [join(directory, 'demo/demo.json')]), 'close')
  const child = spawn(process.execPath, [resolve(import.meta.dirname, '../../gateway/cli.ts'), 'ls'], {
    cwd: directory,
    env: { PATH: process.env.PATH },
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), 8000)
  const [code] = await once(child, 'close')
  clearTimeout(timer)
  t.equal(code, 2)
})
