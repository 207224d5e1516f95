/** The metrics listener: the numbers of all workers, added up, and nothing else. */

import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AggregatorRegistry, Gauge, Registry } from 'prom-client'
import { StorageError } from '../core/errors.ts'
import type { Snapshot } from './messages.ts'

export interface MetricsSource {
  metrics(): Promise<readonly Snapshot[]>
  /** Workers alive. */
  readonly size: number
}

export interface MetricsDoor {
  readonly address: string
  readonly port: number
  close(): Promise<void>
}

/** Serves GET /metrics. Throws `unavailable` when the address is taken. */
export async function openMetricsDoor(
  options: { readonly address: string; readonly port: number },
  source: MetricsSource,
): Promise<MetricsDoor> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, (request, response) => {
    const path = request.url?.split('?')[0]
    if (path !== '/metrics') return answer(response, 404, 'only /metrics is here\n')
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'GET only\n')
    collect(source).then(
      (text) => answer(response, 200, text),
      () => answer(response, 500, 'the metrics cannot be collected\n'),
    )
  })
  server.maxConnections = 64
  await listening(server, options)
  const { address, port } = server.address() as AddressInfo
  return { address, port, close: () => closed(server) }
}

async function collect(source: MetricsSource): Promise<string> {
  const own = new Registry()
  new Gauge({ name: 'portolan_workers', help: 'Worker processes alive', registers: [own] }).set(source.size)
  const snapshots = await source.metrics()
  const all = AggregatorRegistry.aggregate(snapshots.map((snapshot) => [...snapshot]))
  return `${await all.metrics()}\n${await own.metrics()}`
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
    'Cache-Control': 'no-store',
  })
  response.end(text)
}

async function listening(server: Server, { address, port }: { address: string; port: number }): Promise<void> {
  try {
    // In a cluster's primary this is an ordinary listener.
    server.listen({ host: address, port, exclusive: true })
    await once(server, 'listening')
  } catch (cause) {
    throw new StorageError('unavailable', `metrics: ${address} port ${port} cannot be listened on`, { cause })
  }
}

async function closed(server: Server): Promise<void> {
  const done = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await done
}
