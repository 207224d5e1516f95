/** Tells systemd how the service is doing (sd_notify(3)), where it was started by it with Type=notify. */

import { execFile } from 'node:child_process'
import { startUnprivileged } from '../privileges.ts'

export type ServiceState = 'READY=1' | 'RELOADING=1' | 'STOPPING=1'

/** Resolves when systemd was told, or could not be: that is no reason to stop serving. */
export function notifyService(state: ServiceState): Promise<void> {
  const socket = process.env.NOTIFY_SOCKET
  if (socket === undefined || socket === '') return Promise.resolve()
  // Node has no Unix datagram sockets; the program comes with systemd itself.
  return new Promise((resolve) => {
    startUnprivileged(() =>
      execFile('systemd-notify', [`--pid=${process.pid}`, state], { timeout: 5000 }, () => resolve()),
    )
  })
}
