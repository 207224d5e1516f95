/** How many requests the HTTP door answered. Labels are bounded: known methods and status codes. */

import { Counter, type Registry } from 'prom-client'

const methods: ReadonlySet<string> = new Set([
  ...['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS'],
  ...['PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK'],
])

/** Gives the function that counts one answered request. */
export function countRequests(
  registry: Registry,
): (request: { readonly method: string; readonly status: number }) => void {
  const counts = new Map<string, Map<number, number>>()
  new Counter({
    name: 'portolan_http_requests_total',
    help: 'Requests answered by the HTTP door',
    labelNames: ['method', 'status'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [method, statuses] of counts) {
        for (const [status, count] of statuses) this.inc({ method, status: String(status) }, count)
      }
    },
  })
  return ({ method, status }) => {
    const name = methods.has(method) ? method : 'other'
    let statuses = counts.get(name)
    if (!statuses) {
      statuses = new Map()
      counts.set(name, statuses)
    }
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
}
