/** A worker for tests of the supervisor: what it does is said by the note of the first mount. */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Config } from '../../gateway/config.ts'
import type { FromWorker, ToWorker } from '../../gateway/supervisor/messages.ts'

let note = ''

function tell(message: FromWorker): void {
  process.send?.(message)
}

function start(config: Config, workers: number): void {
  note = config.mounts[0]?.note ?? ''
  if (note === 'dies at start') process.exit(3)
  if (note === 'fails') {
    tell({ kind: 'failed', message: 'the reason' })
    return
  }
  const server = createServer((request, response) => {
    if (request.url === '/die') process.kill(process.pid, 'SIGKILL')
    response.setHeader('Connection', 'close')
    response.end(JSON.stringify({ pid: process.pid, note, workers, pool: process.env.UV_THREADPOOL_SIZE }))
  })
  server.listen(config.listen[0]?.port ?? 0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo
    const url = `http://127.0.0.1:${port}`
    tell({ kind: 'ready', addresses: [{ listener: 0, address: '127.0.0.1', port, tls: false, s3: false, url }] })
  })
}

function reload(id: number, config: Config | undefined): void {
  const next = config?.mounts[0]?.note ?? note
  if (next === 'refuses') {
    tell({ kind: 'reloaded', id, error: 'not this one' })
    return
  }
  note = next
  tell({ kind: 'reloaded', id })
}

process.on('message', (message: ToWorker) => {
  if (message.kind === 'start') start(message.config, message.workers)
  else if (message.kind === 'reload') reload(message.id, message.config)
  else if (message.kind === 'stop' && note !== 'deaf') process.exit(0)
  else if (message.kind === 'metrics' && note !== 'deaf') {
    const values = [{ value: 21, labels: {} }]
    const counter = { name: 'fake_total', help: 'h', type: 'counter', aggregator: 'sum', values }
    tell({ kind: 'metrics', id: message.id, metrics: [counter as never] })
  }
})
for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.exit(0))
tell({ kind: 'up' })
