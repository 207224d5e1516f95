/** Errors for WebDAV clients: DAV:error with the condition that failed (RFC 4918, section 16), and what we call it. */

import type { Action } from '../../acl/needs.ts'
import { StorageError } from '../core/errors.ts'
import { LockedError } from '../core/locks.ts'
import { preferred } from '../http/accept.ts'
import type { Exchange } from '../http/exchange.ts'
import type { RenderedProblem } from '../http/options.ts'
import type { Problem } from '../http/problem.ts'
import { encodePath } from '../http/target.ts'
import { ConditionError } from './errors.ts'
import { own } from './names.ts'
import { escapeXml } from './xml.ts'

export const xmlType = 'application/xml; charset=utf-8'

/** Whoever uses these speaks WebDAV. */
const methods: ReadonlySet<string> = new Set(['PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK'])

/** The privilege that an action asks for, where RFC 3744 has one. */
const privileges: Readonly<Partial<Record<Action, string>>> = {
  stat: 'read',
  list: 'read',
  read: 'read',
  create: 'bind',
  replace: 'write-content',
  mkdir: 'bind',
  remove: 'unbind',
  'move-away': 'unbind',
  'set-attributes': 'write-properties',
  'read-properties': 'read',
  'write-properties': 'write-properties',
  'read-acl': 'read-acl',
  'write-acl': 'write-acl',
}

/** Undefined for callers that had better get the ordinary document. */
export function davProblem(x: Exchange, error: StorageError, problem: Problem): RenderedProblem | undefined {
  const { method = '', headers } = x.request
  const speaksDav = methods.has(method) || error.code === 'locked' || error instanceof ConditionError
  if (!speaksDav || preferred(headers.accept, ['application/xml', 'text/xml', ...json]).endsWith('json')) {
    return undefined
  }
  const { status, code, title, call, detail, explain } = problem
  const told = [
    ['status', String(status)],
    ['code', code],
    ['title', title],
    ['call', call],
    ['detail', detail],
    ['explain', explain],
  ] as const
  const more = told.map(([name, text]) => (text === undefined ? '' : `<p:${name}>${escapeXml(text)}</p:${name}>`))
  return { type: xmlType, body: `${xmlHead}${errorElement(conditionOf(x, error) + more.join(''))}\n` }
}

const json = ['application/problem+json', 'application/json'] as const

export const xmlHead = '<?xml version="1.0" encoding="utf-8"?>\n'

/** DAV:error around XML with the prefixes D and p. */
export function errorElement(content: string): string {
  return `<D:error xmlns:D="DAV:" xmlns:p="${own}">${content}</D:error>`
}

/** The element of RFC 4918, 3744 or 4331 for what went wrong; '' where there is none. */
export function conditionOf(x: Pick<Exchange, 'path' | 'action'>, thrown: unknown): string {
  const error = StorageError.from(thrown)
  if (error instanceof ConditionError) return error.condition
  if (error instanceof LockedError) {
    return `<D:${error.condition}><D:href>${encodePath(error.root)}</D:href></D:${error.condition}>`
  }
  switch (error.code) {
    case 'locked':
      return `<D:lock-token-submitted><D:href>${encodePath(error.path ?? x.path)}</D:href></D:lock-token-submitted>`
    case 'quota':
      return '<D:quota-not-exceeded/>'
    case 'no-space':
      return '<D:sufficient-disk-space/>'
    case 'denied':
      return needed(x)
    default:
      return ''
  }
}

/** RFC 3744, section 7.1.1. It tells what the method asks for, which is the same whatever is there. */
function needed({ path, action }: Pick<Exchange, 'path' | 'action'>): string {
  const privilege = action && privileges[action]
  if (!privilege) return ''
  const resource = `<D:href>${encodePath(path)}</D:href><D:privilege><D:${privilege}/></D:privilege>`
  return `<D:need-privileges><D:resource>${resource}</D:resource></D:need-privileges>`
}
