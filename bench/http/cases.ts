/** The measurements of the HTTP door, one function a topic. */

import { rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { inTurn, resident, seconds, wrk } from '../measure.ts'
import type { Peer } from '../peers.ts'
import type { Figure } from '../report.ts'
import { type Data, makeMany } from './data.ts'
import type { Portolan } from './portolan.ts'

export interface Stage {
  readonly portolan: Portolan
  readonly peers: Readonly<Record<'nginx' | 'apache' | 'rcloneHttp' | 'rcloneWebdav', Peer>>
  readonly data: Data
  readonly work: string
}

/** GET of 4 KiB files over 64 connections: requests a second. */
export async function smallFiles({ portolan, peers, data, work }: Stage): Promise<Figure[]> {
  const script = `${work}/small.lua`
  writeFileSync(
    script,
    `local n = 0\nrequest = function()\n  n = (n + 7) % ${data.smallFiles}\n  return wrk.format("GET", wrk.path .. n)\nend\n`,
  )
  const load =
    (url: string, headers: readonly string[] = []) =>
    async () => {
      const result = await wrk(url, { connections: 64, seconds: 4, headers, script })
      // A server may close a kept-alive connection under a request; more than one in a thousand is no figure.
      if (result.errors > result.requestsPerSecond / 200) throw new Error(`${url}: ${result.errors} errors`)
      return result.requestsPerSecond
    }
  const basic = `Authorization: Basic ${Buffer.from('alice:alice-pw').toString('base64')}`
  const { medians: raw, ratio } = await inTurn({
    portolan: load(`${portolan.url}/bench/user/small/`, [portolan.authorization]),
    public: load(`${portolan.url}/public/user/small/`),
    nginx: load(`${peers.nginx.url}/user/small/`),
    apache: load(`${peers.apache.url}/user/small/`),
    rclone: load(`${peers.rcloneWebdav.url}/user/small/`, [basic]),
  })
  return [
    {
      what: 'GET 4 KiB, token and ACL, against rclone webdav with Basic',
      value: ratio('portolan', 'rclone'),
      unit: 'x',
      goal: { atLeast: 3 },
      raw,
    },
    {
      what: 'GET 4 KiB, token and ACL, against Apache without',
      value: ratio('portolan', 'apache'),
      unit: 'x',
      goal: { atLeast: 0.7 },
    },
    {
      what: 'share of a request that authorization costs',
      value: 1 - ratio('portolan', 'public'),
      unit: '',
      goal: { atMost: 0.15 },
    },
  ]
}

/** GET of 1 GiB, one and eight streams: bytes a second. */
export async function downloads({ portolan, peers }: Stage): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const connections of [1, 8]) {
    const load =
      (url: string, headers: readonly string[] = []) =>
      async () =>
        (await wrk(url, { connections, seconds: 3, headers })).bytesPerSecond
    const { medians: raw, ratio } = await inTurn({
      portolan: load(`${portolan.url}/bench/user/big`, [portolan.authorization]),
      nginx: load(`${peers.nginx.url}/user/big`),
      rclone: load(`${peers.rcloneHttp.url}/user/big`),
    })
    const what = `GET 1 GiB, ${connections} stream${connections > 1 ? 's' : ''}`
    figures.push({
      what: `${what}, against nginx with sendfile`,
      value: ratio('portolan', 'nginx'),
      unit: 'x',
      goal: { atLeast: 0.9 },
      raw,
    })
    figures.push({
      what: `${what}, against rclone serve http`,
      value: ratio('portolan', 'rclone'),
      unit: 'x',
      goal: { atLeast: 1.3 },
    })
  }
  return figures
}

/** PUT of 1 GiB: bytes a second. */
export async function uploads({ portolan, peers, data }: Stage): Promise<Figure[]> {
  const source = `${data.tree}/user/big`
  const timed =
    (command: string, ...args: string[]) =>
    async () =>
      data.bigSize / (await seconds(command, ...args))
  const curl = (url: string, ...headers: string[]) =>
    timed('curl', '-sSf', '-o', '/dev/null', ...headers.flatMap((header) => ['-H', header]), '-T', source, url)
  const synced = await inTurn({
    portolan: curl(`${portolan.url}/bench/user/put/portolan`, portolan.authorization),
    dd: timed('dd', `if=${source}`, `of=${data.tree}/user/put/dd`, 'bs=1M', 'conv=fsync'),
  })
  const unsynced = await inTurn({
    portolan: curl(`${portolan.url}/unsynced/user/put/portolan`, portolan.authorization),
    apache: curl(`${peers.apache.url}/user/put/apache`),
  })
  return [
    {
      what: 'PUT 1 GiB with fsync, against dd conv=fsync',
      value: synced.ratio('portolan', 'dd'),
      unit: 'x',
      goal: { atLeast: 0.9 },
      raw: synced.medians,
    },
    {
      what: 'PUT 1 GiB with sync: never, against Apache',
      value: unsynced.ratio('portolan', 'apache'),
      unit: 'x',
      goal: { atLeast: 1 },
      raw: unsynced.medians,
    },
  ]
}

/** A directory of a million files as JSON: memory and time to the first byte. */
export async function listing({ portolan, data }: Stage): Promise<Figure[]> {
  const count = 1_000_000
  makeMany(data.tree, count)
  const before = resident(portolan.pid)
  let peak = before
  const watch = setInterval(() => (peak = Math.max(peak, resident(portolan.pid))), 200)
  const started = performance.now()
  let first = Number.NaN
  let bytes = 0
  const [name, value] = portolan.authorization.split(': ')
  await new Promise<void>((resolve, reject) => {
    const headers = { accept: 'application/json', [String(name)]: String(value) }
    get(`${portolan.url}/bench/user/many/`, { headers }, (response) => {
      response.on('data', (chunk: Buffer) => {
        if (bytes === 0) first = performance.now() - started
        bytes += chunk.length
      })
      response.on('end', resolve).on('error', reject)
    }).on('error', reject)
  })
  clearInterval(watch)
  const whole = (performance.now() - started) / 1000
  rmSync(`${data.tree}/user/many`, { recursive: true })
  return [
    {
      what: 'JSON listing of 1,000,000 files: growth of resident memory',
      value: (peak - before) / 1e6,
      unit: 'MB',
      goal: { atMost: 150 },
      raw: { bytes },
    },
    {
      what: 'JSON listing of 1,000,000 files: first byte',
      value: first / 1000,
      unit: 's',
      goal: { atMost: 2 },
      raw: { whole },
    },
  ]
}

/** 1,000 concurrent downloads of 1 GiB by clients that read slowly: memory of all processes. */
export async function memoryOfDownloads({ portolan }: Stage): Promise<Figure[]> {
  const clients = 1000
  const { hostname, port } = new URL(portolan.url)
  const idle = resident(portolan.pid)
  let peak = idle
  let received = 0
  const sockets: Socket[] = []
  for (let index = 0; index < clients; index++) {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => socket.destroy())
    socket.write(`GET /bench/user/big HTTP/1.1\r\nHost: ${hostname}:${port}\r\n${portolan.authorization}\r\n\r\n`)
    // About 200 KiB a second and client: read a little, then rest.
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
      socket.pause()
      setTimeout(() => socket.resume(), 300)
    })
    sockets.push(socket)
    if (index % 50 === 0) await pause(20)
  }
  for (let look = 0; look < 60; look++) {
    await pause(250)
    peak = Math.max(peak, resident(portolan.pid))
  }
  const alive = sockets.filter((socket) => !socket.destroyed).length
  for (const socket of sockets) socket.destroy()
  return [
    {
      what: '1,000 slow downloads of 1 GiB: memory above idle',
      value: (peak - idle) / 1e6,
      unit: 'MB',
      goal: { atMost: 400 },
      raw: { idle: idle / 1e6, clients: alive, received: received / 1e6 },
    },
  ]
}
