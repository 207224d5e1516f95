/**
 * The answer to the one who ordered a copy (WLCG HTTP-TPC, after GridFTP's performance markers): 202, a marker at once
 * and then one each period, also while nothing moves, and a last line that says what became of it.
 */

import { StorageError } from '../../core/errors.ts'
import type { Exchange } from '../../http/exchange.ts'
import type { Progress } from './progress.ts'

/** Milliseconds; whoever ordered the copy takes it for dead after some ten seconds without. */
export const markerPeriod = 5000
/** Once the caller has stopped sending: writing shows soon whether it still reads. */
const probePeriod = 250
/** Readers of the last line have buffers of 1,024 bytes. */
const maxLine = 500

/** Answers the whole request; `work` begins after the head. What `work` throws is told and returned. */
export async function answerWithMarkers(
  x: Exchange,
  progress: Progress,
  work: () => Promise<void>,
  period: number,
): Promise<StorageError | undefined> {
  const { response, request } = x
  const head = ['Content-Type', 'text/perf-marker-stream', 'Cache-Control', 'no-store', 'X-Request-Id', x.id]
  response.writeHead(202, head)
  const mark = () => {
    // A reader that takes nothing is told the newest later.
    if (!response.destroyed && !response.writableNeedDrain) response.write(marker(progress))
  }
  mark()
  let timer = setInterval(mark, period)
  const probe = () => {
    clearInterval(timer)
    timer = setInterval(mark, Math.min(period, probePeriod))
  }
  if (request.socket.readableEnded) probe()
  else request.socket.once('end', probe)
  try {
    await work()
    end(x, 'success: Created')
    return undefined
  } catch (thrown) {
    const error = StorageError.from(thrown)
    end(x, `failure: ${lineOf(error)}`)
    return error
  } finally {
    clearInterval(timer)
    request.socket.off('end', probe)
  }
}

function end({ response }: Exchange, line: string): void {
  if (!response.destroyed) response.end(`${line}\n`)
}

function marker({ bytes, connection }: Progress): string {
  const lines = [
    'Perf Marker',
    `Timestamp: ${Math.floor(Date.now() / 1000)}`,
    'Stripe Index: 0',
    `Stripe Bytes Transferred: ${bytes}`,
    'Total Stripe Count: 1',
    ...(connection === undefined ? [] : [`RemoteConnections: ${connection}`]),
    'End',
  ]
  return `${lines.join('\n')}\n`
}

function lineOf({ message }: StorageError): string {
  return message.replace(/[^\x20-\x7e]+/g, ' ').slice(0, maxLine)
}
