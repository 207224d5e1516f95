/** The pages are true: what they promise is played, what they name is there. */

import { execFileSync } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import t from 'tap'
import { startTestGateway, type TestGateway } from './gateway/harness.ts'
import { userNames } from './gateway/people.ts'
import { linesOf, type Played } from './gateway/semantics.ts'
import { makeArchive, makeLab, makeOpen } from './gateway/tree.ts'

t.setTimeout(120_000)

const home = resolve(import.meta.dirname, '..')
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...globSync('docs/**/*.md', { cwd: home }).toSorted()]
const read = (page: string) => readFileSync(join(home, page), 'utf8')

t.test('docs/semantics.md says what a gateway does', async (t) => {
  const gateway = await startTestGateway(t, {
    mounts: [
      { path: '/lab', make: (top) => void makeLab(top) },
      { path: '/lab/archive', make: (top) => void makeArchive(top), more: { readOnly: true } },
      { path: '/open', make: (top) => void makeOpen(top), more: { anonymous: true } },
    ],
    s3: { buckets: { lab: '/lab', home: '/lab/{user}', open: '/open' }, hosts: ['s3.lab.example'] },
  })
  const lines = linesOf(read('docs/semantics.md'))
  t.ok(lines.length > 50, `${lines.length} lines to play`)
  for (const { heading, line } of lines) {
    if (typeof line === 'string') t.fail(`${heading}: no line of the grammar: ${line}`)
    else t.same(await play(gateway, line), expected(line), `${heading}: ${line.line}`)
  }
})

interface Seen {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string | undefined
}

function expected({ status, answerHeaders, answerBody }: Played): Seen {
  return { status, headers: answerHeaders, body: answerBody }
}

/** What came back, as far as the line speaks about it. */
async function play(gateway: TestGateway, line: Played): Promise<Seen> {
  const { who, s3, method, target, headers, body, scopes, answerHeaders, answerBody } = line
  const user = userNames.find((name) => name === who)
  if (!user && who !== 'anonymous') return { status: 0, headers: {}, body: `there is no ${who}` }
  const token = user && scopes !== undefined ? await gateway.token(user, { scope: scopes }) : undefined
  const answer = await (s3 ? gateway.s3.bind(gateway) : gateway.request.bind(gateway))({
    method,
    path: target,
    headers,
    ...(body !== undefined && { body }),
    ...(user && { user }),
    ...(token !== undefined && { token }),
  })
  const told = Object.keys(answerHeaders).map((name) => [name, answer.headers[name.toLowerCase()]])
  return {
    status: answer.status,
    headers: Object.fromEntries(told),
    body: answerBody === undefined ? undefined : s3 ? codeIn(answer.text) : answer.text,
  }
}

/** Of a refusal its code; any other body as it is. */
function codeIn(text: string): string {
  return /<Error><Code>(\w+)<\/Code>/.exec(text)?.[1] ?? text
}

t.test('links between the pages lead somewhere', async (t) => {
  for (const page of pages) {
    for (const [, target = ''] of prose(read(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const found = file === '' ? page : relative(home, resolve(home, dirname(page), file))
      t.ok(existsSync(join(home, found)), `${page} links to ${target}`)
      if (anchor !== undefined && existsSync(join(home, found)))
        t.ok(anchorsOf(read(found)).has(anchor), `${page} links to the heading ${target}`)
    }
  }
})

function anchorsOf(text: string): Set<string> {
  const headings = [...prose(text).matchAll(/^#+ +(.*)$/gm)].map(([, heading = '']) => heading)
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

t.test('files, folders and scripts that the pages name are there', async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Record<string, string> }
  const commands = commandsOfPortolan()
  for (const page of pages) {
    const text = read(page)
    for (const path of pathsIn(text)) {
      const isThere = existsSync(join(home, path)) || globSync(path.replaceAll('NAME', '*'), { cwd: home }).length > 0
      t.ok(isThere, `${page} names ${path}`)
    }
    for (const code of codeOf(text)) {
      for (const [, script = ''] of code.matchAll(/\bnpm run ([a-z][a-z:-]*)/g)) {
        t.ok(Object.hasOwn(scripts, script), `${page} names npm run ${script}`)
      }
      for (const [, script = ''] of code.matchAll(/\bnpm (test|start)\b/g)) {
        t.ok(Object.hasOwn(scripts, script), `${page} names npm ${script}`)
      }
      for (const [, command = ''] of code.matchAll(/(?:^|[\s|(])portolan ([a-z][a-z-]*)/g)) {
        t.ok(commands.has(command), `${page} names portolan ${command}`)
      }
    }
  }
})

/** Inline code and fenced blocks. */
function codeOf(text: string): string[] {
  const fenced = [...text.matchAll(/^```.*\n([\s\S]*?)^```/gm)].map(([, code = '']) => code)
  return [...fenced, ...inlineOf(text)]
}

function inlineOf(text: string): string[] {
  return [...prose(text).matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
}

function prose(text: string): string {
  return text.replace(/^```.*\n[\s\S]*?^```/gm, '')
}

/** Inline code that begins with one of our own folders is a path of ours; patterns may hold `*` and `{a,b}`. */
function pathsIn(text: string): string[] {
  const ours = /^(?:gateway|acl|backends|mounts|bench|test|docs|deploy|\.ci)\/[\w./*{},-]*$/
  const alone = /^[A-Z]+\.md$|^(?:package|tsconfig|biome)\.json$/
  return inlineOf(text).filter((code) => ours.test(code) || alone.test(code))
}

function commandsOfPortolan(): Set<string> {
  const help = execFileSync(process.execPath, [join(home, 'gateway/cli.ts'), '--help'], { encoding: 'utf8' })
  const list = help.slice(help.indexOf('Commands:'))
  return new Set([...list.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name = '']) => name))
}
