/** A file that processes of one machine touch and watch, to tell each other that something has changed. */

import { type FSWatcher, watch } from 'node:fs'
import { open, utimes } from 'node:fs/promises'

export interface Bell {
  /** Tells the others, and this process too. Never fails: whoever does not hear it looks now and then anyway. */
  ring(): Promise<void>
  /** Calls `heard` after somebody has rung. False when the file cannot be watched. */
  listen(heard: () => void): boolean
  close(): void
}

/** Makes the file if it is missing. */
export async function openBell(file: string): Promise<Bell> {
  const handle = await open(file, 'a', 0o600)
  await handle.close()
  let watcher: FSWatcher | undefined
  return {
    async ring() {
      const now = new Date()
      // Heard or not, the next look finds the change.
      await utimes(file, now, now).catch(() => {})
    },
    listen(heard) {
      try {
        watcher = watch(file, { persistent: false }, heard)
        watcher.on('error', () => watcher?.close())
        return true
      } catch {
        // No watches left on this machine.
        return false
      }
    },
    close: () => watcher?.close(),
  }
}
