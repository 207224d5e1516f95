/** interim */
import type { Exchange } from '../http/exchange.ts'
import { receiveWhole, sendContinue } from '../http/receive.ts'
import type { Authenticated } from './authentication.ts'
import type { S3Body } from './s3-request.ts'

export function bodyOf(x: Exchange, _known: Authenticated): S3Body {
  const length = x.request.headers['content-length']
  return {
    length: length === undefined ? undefined : Number(length),
    stream: () => {
      sendContinue(x)
      return x.request
    },
    trailers: new Map(),
    trailer: undefined,
    whole: (limit) => receiveWhole(x, limit),
  }
}
