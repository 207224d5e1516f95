/** Whole XML bodies of requests: how many bytes of them one process holds, and one caller. */

import { BodyBudget } from '../http/body-budget.ts'
import { HttpError } from '../http/errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { receiveWhole } from '../http/receive.ts'
import { parseXml, type XmlElement, xmlLimits } from './xml.ts'

const budget = new BodyBudget(64 * xmlLimits.bytes, 8 * xmlLimits.bytes)

/** The root element of the body; undefined where there is none. The media type does not matter: davix sends none. */
export async function receiveXml(x: Exchange): Promise<XmlElement | undefined> {
  if (!x.hasBody) return undefined
  const coding = x.request.headers['content-encoding']
  if (coding !== undefined && coding.trim().toLowerCase() !== 'identity') {
    throw new HttpError(415, 'unsupported', 'XML is taken without a content coding')
  }
  budget.reserve(x, xmlLimits.bytes)
  const bytes = await receiveWhole(x, xmlLimits.bytes)
  return bytes.length === 0 ? undefined : parseXml(bytes)
}
