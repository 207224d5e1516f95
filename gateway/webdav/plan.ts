/** From what a PROPFIND asks for to the text of one response, worked out once for all resources of the request. */

import type { Asked } from './bodies.ts'
import type { DeadProperty } from './dead.ts'
import { hrefOf, propstat } from './multistatus.ts'
import { keyOf } from './names.ts'
import { type Extra, type LiveProperty, live, type Subject } from './properties.ts'
import { emptyElement, type XmlName } from './xml.ts'

export type Dead = ReadonlyMap<string, DeadProperty>

export interface Plan {
  /** What must be asked beyond the entries. */
  readonly extras: ReadonlySet<Extra>
  /** Which dead properties are wanted; `self`: of the resource that was named alone, not of what is in it. */
  readonly dead: 'none' | 'self' | 'some' | 'all'
  /** One DAV:response. */
  respond(subject: Subject, dead: Dead): string
}

/** `minimal`: what a resource does not have is not told (RFC 8144, section 2.1). */
export function makePlan(asked: Asked, { minimal }: { readonly minimal: boolean }): Plan {
  if (asked.kind === 'names') return plan([...live.values()], 'all', tellNames)
  if (asked.kind === 'all') {
    const included = asked.include.flatMap((name) => live.get(keyOf(name)) ?? [])
    const common = [...live.values()].filter((property) => property.common && !included.includes(property))
    const wanted = [...common, ...included]
    return plan(wanted, 'all', (subject, dead) => respondAll(wanted, subject, dead))
  }
  const { names } = asked
  const wanted = names.flatMap((name) => live.get(keyOf(name)) ?? [])
  const others = names.filter((name) => !live.has(keyOf(name)))
  const rest = wanted.some(({ overridable }) => overridable) ? 'self' : 'none'
  return plan(wanted, others.length > 0 ? 'some' : rest, (subject, dead) =>
    respondSome(wanted, others, subject, dead, minimal),
  )
}

function plan(wanted: readonly LiveProperty[], dead: Plan['dead'], respond: Plan['respond']): Plan {
  return { extras: new Set(wanted.flatMap(({ extra }) => extra ?? [])), dead, respond }
}

function respondAll(wanted: readonly LiveProperty[], subject: Subject, dead: Dead): string {
  let found = ''
  for (const property of wanted) {
    if (dead.size > 0 && dead.has(keyOf(property))) continue
    const value = property.value(subject)
    if (value !== undefined) found += value === '' ? property.empty : property.open + value + property.close
  }
  for (const { xml } of dead.values()) found += xml
  return frame(subject, propstat(found, 200))
}

function respondSome(
  wanted: readonly LiveProperty[],
  others: readonly XmlName[],
  subject: Subject,
  dead: Dead,
  minimal: boolean,
): string {
  let found = ''
  let missing = ''
  for (const property of wanted) {
    const kept = property.overridable ? dead.get(keyOf(property)) : undefined
    const value = kept ? undefined : property.value(subject)
    if (kept) found += kept.xml
    else if (value === undefined) missing += property.empty
    else found += value === '' ? property.empty : property.open + value + property.close
  }
  for (const name of others) {
    const kept = dead.get(keyOf(name))
    if (kept) found += kept.xml
    else missing += emptyElement(name)
  }
  const stats = propstat(found, 200) + (minimal ? '' : propstat(missing, 404))
  return frame(subject, stats === '' ? emptyStat : stats)
}

/** A response holds at least one propstat (RFC 4918, section 14.24). */
const emptyStat = '<D:propstat><D:prop/><D:status>HTTP/1.1 200 OK</D:status></D:propstat>'

function tellNames(subject: Subject, dead: Dead): string {
  let names = ''
  for (const property of live.values()) if (property.value(subject) !== undefined) names += property.empty
  for (const name of dead.values()) names += emptyElement(name)
  return frame(subject, propstat(names, 200))
}

function frame({ entry, path }: Subject, content: string): string {
  return `<D:response><D:href>${hrefOf(path, entry.type === 'directory')}</D:href>${content}</D:response>\n`
}
