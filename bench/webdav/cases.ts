/** The measurements of WebDAV, one function a topic. */

import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { promisify } from 'node:util'
import type { Data } from '../http/data.ts'
import type { Portolan } from '../http/portolan.ts'
import { inTurn, seconds, wrk } from '../measure.ts'
import type { Peer } from '../peers.ts'
import type { Figure } from '../report.ts'

export interface Stage {
  readonly portolan: Portolan
  /** A second gateway over the same tree, which serves TLS too. */
  readonly source: Portolan
  readonly peers: Readonly<Record<'nginx' | 'apache' | 'rclone', Peer>>
  readonly data: Data
  readonly work: string
}

const execute = promisify(execFile)
const basic = `Authorization: Basic ${Buffer.from('alice:alice-pw').toString('base64')}`

/** What rclone and file managers ask for. */
const usual = '<displayname/><getlastmodified/><getcontentlength/><resourcetype/><getcontenttype/>'

/** PROPFIND, depth 1, of 10,000 files: seconds. */
export async function listing({ portolan, peers, work }: Stage): Promise<Figure[]> {
  const ask = (name: string, url: string, content: string, ...headers: string[]) => {
    const [body, answer] = [`${work}/${name}.xml`, `${work}/${name}.answer`]
    writeFileSync(body, `<propfind xmlns="DAV:">${content}</propfind>`)
    const fields = ['Depth: 1', 'Content-Type: application/xml', ...headers].flatMap((field) => ['-H', field])
    return () => seconds('curl', '-sSf', '-X', 'PROPFIND', ...fields, '-d', `@${body}`, '-o', answer, url)
  }
  const figures: Figure[] = []
  // What ownCloud's clients ask of rights is a word, what RFC 3744 has is a list of elements.
  const word = '<permissions xmlns="http://owncloud.org/ns"/>'
  const elements = '<current-user-privilege-set/>'
  for (const [what, theirs, ours] of [
    ['and a word of rights', `<prop>${usual}</prop>`, `<prop>${usual}${word}</prop>`],
    ['and all privileges', `<prop>${usual}</prop>`, `<prop>${usual}${elements}</prop>`],
    ['allprop and a word of rights', '<allprop/>', `<allprop/><include>${word}</include>`],
  ] as const) {
    const runs = {
      portolan: ask('portolan', `${portolan.url}/bench/user/listed/`, ours, portolan.authorization),
      apache: ask('apache', `${peers.apache.url}/user/listed/`, theirs),
      rclone: ask('rclone', `${peers.rclone.url}/user/listed/`, theirs, basic),
    }
    // Each process has to see it a few times.
    const { medians: raw, ratio } = await inTurn(runs, { warm: 6 })
    const value = Math.max(ratio('portolan', 'apache'), ratio('portolan', 'rclone'))
    const title = `PROPFIND of 10,000 files ${what}, against the faster peer without`
    figures.push({ what: title, value, unit: 'x', goal: { atMost: 0.8 }, raw })
  }
  return figures
}

/**
 * 2,000 files of 4 KiB uploaded by rclone with eight transfers: files a second. rclone waits 10 ms between its requests,
 * three for each file, so that every server comes out near 33; hence also without it, over eight connections.
 */
export async function smallUploads({ portolan, peers, data, work }: Stage): Promise<Figure[]> {
  const count = 2000
  const from = `${work}/two-thousand`
  mkdirSync(from)
  for (let index = 0; index < count; index++) writeFileSync(`${from}/${index}`, Buffer.alloc(4096, index))
  let round = 0
  const copy = (name: string, url: string, credentials: Readonly<Record<string, string>>) => async () => {
    const target = `${name}-${round++}`
    const env = { PATH: '/usr/bin:/bin', HOME: work, RCLONE_CONFIG: `${work}/none.conf`, ...credentials }
    const remote = ['--webdav-url', `${url}/user/put`, '--webdav-vendor', 'other']
    const started = performance.now()
    await execute('rclone', ['copy', '--transfers', '8', ...remote, from, `:webdav:${target}`], { env })
    const took = (performance.now() - started) / 1000
    rmSync(`${data.tree}/user/put/${target}`, { recursive: true })
    return count / took
  }
  writeFileSync(`${work}/none.conf`, '')
  const token = { RCLONE_WEBDAV_BEARER_TOKEN: portolan.authorization.replace('Authorization: Bearer ', '') }
  const { stdout } = await execute('rclone', ['obscure', 'alice-pw'])
  const password = { RCLONE_WEBDAV_USER: 'alice', RCLONE_WEBDAV_PASS: stdout.trim() }
  const runs = {
    portolan: copy('portolan', `${portolan.url}/unsynced`, token),
    synced: copy('synced', `${portolan.url}/bench`, token),
    apache: copy('apache', peers.apache.url, {}),
    rclone: copy('rclone', peers.rclone.url, password),
  }
  const { medians: raw, ratio } = await inTurn(runs, { rounds: 1, warm: 0 })
  const unpaced = await puts(count, { portolan, peers })
  const what = '2,000 files of 4 KiB uploaded by rclone'
  return [
    {
      what: `${what}, sync: never, against Apache`,
      value: ratio('portolan', 'apache'),
      unit: 'x',
      goal: { atLeast: 1 },
      raw,
    },
    {
      what: `${what}, sync: never, against rclone`,
      value: ratio('portolan', 'rclone'),
      unit: 'x',
      goal: { atLeast: 1 },
    },
    { what: `${what}, synced, against Apache that does not`, value: ratio('synced', 'apache'), unit: 'x' },
    ...unpaced,
  ]
}

/** PUT of 4 KiB over eight connections: files a second. */
async function puts(count: number, { portolan, peers }: Pick<Stage, 'portolan' | 'peers'>): Promise<Figure[]> {
  const body = Buffer.alloc(4096, 'x')
  let round = 0
  const put = (name: string, base: string, headers: Readonly<Record<string, string>>) => async () => {
    const url = `${base}/user/put/${name}-${round++}`
    const started = performance.now()
    await send(count, (index) => ({ method: 'PUT', url: `${url}-${index}`, headers, body }))
    return count / ((performance.now() - started) / 1000)
  }
  const [, value = ''] = portolan.authorization.split(': ')
  const { medians: raw, ratio } = await inTurn({
    portolan: put('p', `${portolan.url}/unsynced`, { authorization: value }),
    synced: put('s', `${portolan.url}/bench`, { authorization: value }),
    apache: put('a', peers.apache.url, {}),
    rclone: put('r', peers.rclone.url, { authorization: basic.replace('Authorization: ', '') }),
  })
  const what = 'PUT of 4 KiB over eight connections'
  return [
    { what: `${what}, sync: never, against Apache`, value: ratio('portolan', 'apache'), unit: 'x', raw },
    { what: `${what}, sync: never, against rclone`, value: ratio('portolan', 'rclone'), unit: 'x' },
    { what: `${what}, synced, against Apache that does not`, value: ratio('synced', 'apache'), unit: 'x' },
  ]
}

/** MKCOL, and MOVE of files, over eight connections: requests a second, nothing synced. */
export async function changes({ portolan, peers }: Stage): Promise<Figure[]> {
  const count = 500
  let round = 0
  const runs = (name: string, base: string, headers: Readonly<Record<string, string>>) => {
    const rate = async (method: string, at: (index: number) => string, to?: (index: number) => string) => {
      const started = performance.now()
      await send(count, (index) => ({
        method,
        url: at(index),
        headers: { ...headers, ...(to && { destination: to(index) }) },
      }))
      return count / ((performance.now() - started) / 1000)
    }
    return {
      mkcol: () => {
        const url = `${base}/user/put/${name}-made-${round++}`
        return rate('MKCOL', (index) => `${url}-${index}`)
      },
      move: async () => {
        const url = `${base}/user/put/${name}-moved-${round++}`
        await rate('PUT', (index) => `${url}-${index}`)
        return rate(
          'MOVE',
          (index) => `${url}-${index}`,
          (index) => `${url}-to-${index}`,
        )
      },
    }
  }
  const [, value = ''] = portolan.authorization.split(': ')
  const ours = runs('portolan', `${portolan.url}/unsynced`, { authorization: value })
  const theirs = runs('apache', peers.apache.url, {})
  const figures: Figure[] = []
  for (const what of ['mkcol', 'move'] as const) {
    const { medians: raw, ratio } = await inTurn({ portolan: ours[what], apache: theirs[what] })
    figures.push({
      what: `${what.toUpperCase()}, sync: never, against Apache`,
      value: ratio('portolan', 'apache'),
      unit: 'x',
      goal: { atLeast: 1 },
      raw,
    })
  }
  return figures
}

interface Asked {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Buffer
}

/** Sends `count` requests over eight connections. Throws for one that fails. */
async function send(count: number, asked: (index: number) => Asked): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const one = ({ method, url, headers, body }: Asked) =>
    new Promise<void>((resolve, reject) => {
      const length = { 'content-length': String(body?.length ?? 0) }
      const sent = request(url, { method, headers: { ...headers, ...length }, agent }, (response) => {
        const { statusCode = 0 } = response
        response.resume().on('end', () => {
          if (statusCode >= 200 && statusCode < 300) resolve()
          else reject(new Error(`${method} ${url}: ${statusCode}`))
        })
      })
      sent.on('error', reject).end(body)
    })
  let next = 0
  const lane = async () => {
    while (next < count) await one(asked(next++))
  }
  await Promise.all(Array.from({ length: 8 }, lane))
  agent.destroy()
}

/** 1 GiB from one gateway to the other, by COPY and by a client in the middle: bytes a second. */
export async function thirdPartyCopy({ portolan, source, data }: Stage): Promise<Figure[]> {
  const from = `${source.url}/bench/user/big`
  const target = (name: string) => `${portolan.url}/unsynced/user/put/${name}`
  const copy = (checked: boolean) => async () => {
    const started = performance.now()
    const fields = [
      portolan.authorization,
      `Source: ${from}`,
      `TransferHeader${source.authorization}`,
      `RequireChecksumVerification: ${checked}`,
    ]
    const args = fields.flatMap((field) => ['-H', field])
    const { stdout } = await execute('curl', ['-sSf', '-X', 'COPY', ...args, target('copied')])
    if (!/^success: /m.test(stdout)) throw new Error(stdout)
    return data.bigSize / ((performance.now() - started) / 1000)
  }
  const piped = async () => {
    const [read, write] = [`curl -sSf -H "$FROM" ${from}`, `curl -sSf -H "$TO" -T - -o /dev/null ${target('piped')}`]
    const started = performance.now()
    const env = { PATH: '/usr/bin:/bin', FROM: source.authorization, TO: portolan.authorization }
    await execute('bash', ['-o', 'pipefail', '-c', `${read} | ${write}`], { env })
    return data.bigSize / ((performance.now() - started) / 1000)
  }
  const { medians: raw, ratio } = await inTurn({ portolan: copy(false), checked: copy(true), piped })
  const what = 'third-party copy of 1 GiB'
  return [
    {
      what: `${what}, against curl | curl`,
      value: ratio('portolan', 'piped'),
      unit: 'x',
      goal: { atLeast: 0.7 },
      raw,
    },
    { what: `${what} with checksums, against curl | curl without`, value: ratio('checked', 'piped'), unit: 'x' },
  ]
}

/** GET of 1 GiB over TLS: bytes a second. */
export async function secureDownload({ source, peers }: Stage): Promise<Figure[]> {
  const load =
    (url: string, ...headers: string[]) =>
    async () =>
      (await wrk(url, { connections: 1, seconds: 4, headers })).bytesPerSecond
  const { medians: raw, ratio } = await inTurn({
    portolan: load(`${source.tlsUrl}/bench/user/big`, source.authorization),
    nginx: load(`${peers.nginx.url}/user/big`),
  })
  return [
    {
      what: 'GET 1 GiB over TLS, against nginx',
      value: ratio('portolan', 'nginx'),
      unit: 'x',
      goal: { atLeast: 0.8 },
      raw,
    },
  ]
}
