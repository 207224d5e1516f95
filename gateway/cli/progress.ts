/** How far a transfer is, for a person at a terminal. */

import { Transform } from 'node:stream'
import { humanSize } from './output.ts'

const interval = 250
/** Shorter transfers are over before anyone has read the line. */
const grace = 1000

/** Passes bytes on and tells on standard error how many, if that is a terminal. `total` may be unknown. */
export function progress(label: string, total: number | undefined, shown = process.stderr.isTTY === true): Transform {
  const started = performance.now()
  let last = started + grace - interval
  let bytes = 0
  let visible = false
  const show = (now: number) => {
    const seconds = (now - started) / 1000
    const share = total ? ` ${Math.floor((bytes / total) * 100)}%` : ''
    process.stderr.write(`\r\x1b[K${label}: ${humanSize(bytes)}${share}, ${humanSize(bytes / seconds)}B/s`)
    visible = true
  }
  const hide = () => {
    if (visible) process.stderr.write('\r\x1b[K')
  }
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      const now = performance.now()
      if (shown && now - last >= interval) {
        last = now
        show(now)
      }
      done(null, chunk)
    },
    flush(done) {
      hide()
      done()
    },
    destroy(error, done) {
      hide()
      done(error)
    },
  })
}
