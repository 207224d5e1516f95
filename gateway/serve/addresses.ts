/** Our own address, where the configuration leaves it to the first listener. */

import { once } from 'node:events'
import { type AddressInfo, createServer, isIPv6 } from 'node:net'
import type { Config } from '../config.ts'
import type { ListenerOptions } from '../http/options.ts'

/**
 * Fills `publicUrl` in. When the first listener takes any port, one is chosen here, since the
 * address must be known before anything listens.
 */
export async function withPublicUrl(config: Config): Promise<Config & { readonly publicUrl: string }> {
  const { publicUrl, listen } = config
  if (publicUrl !== undefined) return { ...config, publicUrl }
  const [first, ...others] = listen
  if (!first) return { ...config, publicUrl: 'http://localhost' }
  const port = first.port === 0 ? await freePort(first.address) : first.port
  const url = urlOf({ address: first.address, port, tls: first.tls !== undefined })
  return { ...config, publicUrl: url, listen: [{ ...first, port }, ...others] }
}

/** All listeners, those for S3 alone behind the others: their place here is how workers and supervisor name them. */
export function listenersOf({ listen, s3 }: Pick<Config, 'listen' | 's3'>): readonly ListenerOptions[] {
  return [...listen, ...(s3?.listen ?? []).map((listener) => ({ ...listener, s3: true }))]
}

/** Whether one of them takes a port that only the system's own programs may have. */
export function hasLowPorts(config: Pick<Config, 'listen' | 's3'>): boolean {
  return listenersOf(config).some(({ port }) => port > 0 && port < 1024)
}

/** "https://[::1]:8443"; the scheme's own port is left out. */
export function urlOf(socket: { readonly address: string; readonly port: number; readonly tls: boolean }): string {
  const host = isIPv6(socket.address) ? `[${socket.address}]` : socket.address
  return new URL(`${socket.tls ? 'https' : 'http'}://${host}:${socket.port}`).origin
}

async function freePort(address: string): Promise<number> {
  const server = createServer()
  server.listen({ host: address, port: 0, exclusive: true })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
