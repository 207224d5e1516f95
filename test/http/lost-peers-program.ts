/** In a network of its own: a connection whose other end cannot be reached any more. Tells how it ended. */

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { noticeLoss } from '../../gateway/http/lost-peers.ts'

execFileSync('ip', ['link', 'set', 'lo', 'up'])
const server = createServer().listen(0, '127.0.0.1')
await once(server, 'listening')
const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
client.on('error', () => {})
const [socket] = (await once(server, 'connection')) as [Socket]
noticeLoss(socket, 500)
execFileSync('ip', ['link', 'set', 'lo', 'down'])
socket.write('{}\n')
socket.once('error', (error: NodeJS.ErrnoException) => {
  process.stdout.write(String(error.code))
  process.exit()
})
