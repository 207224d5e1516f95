/** Two gateways that may copy from and to each other, and servers with faults beside them. */

import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { ThirdParty, type ThirdPartyOptions } from '../../gateway/webdav/third-party/third-party.ts'
import { type Answer, ask, openDoor, type Setting, type SettingOptions } from '../http/door.ts'

/** What the tests' gateways may do, unless a test says otherwise. */
export const open: ThirdPartyOptions = {
  hosts: ['127.0.0.1', 'localhost', '[::1]'],
  networks: ['127.0.0.0/8', '::1'],
  insecure: true,
  transfers: 10,
  transfersPerPrincipal: 5,
  answerTimeout: 10_000,
  markerPeriod: 50,
}

/** The gateway that is asked to copy. */
export function openCopier(
  t: Test,
  thirdParty: Partial<ThirdPartyOptions> = {},
  options: SettingOptions = {},
): Promise<Setting> {
  return openDoor(t, { thirdParty: new ThirdParty({ ...open, ...thirdParty }), ...options })
}

export type Headers = Readonly<Record<string, string | number>>

/** As alice, who also sends her credential for the other side. */
export function copy(port: number, path: string, headers: Headers, as = 'alice'): Promise<Answer> {
  const all = { TransferHeaderAuthorization: 'Bearer alice', Credential: 'none', ...headers }
  return ask(port, 'COPY', path, { ...(as !== '' && { as }), headers: all })
}

/** The last line of an answer. */
export function outcomeOf({ text }: Answer): string {
  return text.trimEnd().split('\n').at(-1) ?? ''
}

/** A server on a free port of loopback, until the test ends. */
export async function serve(
  t: Test,
  listener: RequestListener,
): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}
