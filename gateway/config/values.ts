/** The kinds of values a configuration has, each with a message that says what was expected. */

import { BlockList, isIP } from 'node:net'
import { z } from 'zod'
import { parsePath } from '../core/path.ts'
import { nearest } from './problems.ts'

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const sizeUnits: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
  P: 2 ** 50,
}

/** Longest duration in milliseconds; a timer of Node's cannot wait longer. */
const longest = 2 ** 31 - 1

/** `15s`, `5m`, `500ms`, `6h`, `1d`; becomes milliseconds. */
const year = 366 * 24 * 3_600_000

export const duration = z.string('expected a duration such as 15s, 5m or 2h').transform((text, context) => {
  const [, digits, unit] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? []
  const value = Number(digits) * (durationUnits[unit ?? ''] ?? Number.NaN)
  if (value <= longest) return value
  context.addIssue('expected a duration of at most 24 days, such as 15s, 5m or 2h')
  return z.NEVER
})

/** A duration that is not 0, which would mean at once to us and never to a timer of Node's. */
export const span = duration.refine((value) => value > 0, 'expected a duration longer than 0, such as 15s')

/** `12h`, `30d`, at most a year: of what is good for so long, and not waited for. */
export const lifetime = z.string('expected a time such as 12h or 30d').transform((text, context) => {
  const [, digits, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  const value = Number(digits) * (durationUnits[unit ?? ''] ?? Number.NaN)
  if (value > 0 && value <= year) return value
  context.addIssue('expected a time from 1s to 366d, such as 12h or 30d')
  return z.NEVER
})

/** `64K`, `5T` (powers of 1,024) or a plain number; becomes bytes. */
export const size = z
  .union([z.number(), z.string()], 'expected a size such as 64K, 10G or 5T')
  .transform((given, context) => {
    const [, digits, unit] = /^(\d{1,16})([KMGTP]?)$/.exec(String(given)) ?? []
    const value = Number(digits) * (sizeUnits[unit ?? ''] ?? Number.NaN)
    if (Number.isSafeInteger(value)) return value
    context.addIssue('expected a size such as 64K, 10G or 5T')
    return z.NEVER
  })

/** A whole number between the two, both included. */
export function whole(least: number, most: number) {
  const text = `expected a whole number from ${least} to ${most}`
  return z.int(text).min(least, text).max(most, text)
}

export const text = z.string('expected a text').min(1, 'expected a text that is not empty')

export const yesNo = z.boolean('expected true or false')

/** A functional path, checked as every path from outside is. */
export const path = z.string('expected a path such as /data').transform((given, context) => {
  try {
    return parsePath(given)
  } catch {
    context.addIssue('expected a path that begins with / and holds no empty, "." or ".." names')
    return z.NEVER
  }
})

/** An IP address; names are not looked up. */
export const address = z
  .string('expected an IP address')
  .refine((given) => isIP(given) !== 0, 'expected an IP address such as 127.0.0.1 or "::"')

/** An address or a network such as 10.0.0.0/8. */
export const network = z
  .string('expected an address or a network such as 10.0.0.0/8')
  .refine(isNetwork, 'expected an address or a network such as 10.0.0.0/8')

function isNetwork(given: string): boolean {
  const [ip = '', bits, ...rest] = given.split('/')
  const kind = isIP(ip)
  if (kind === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (kind === 4 ? 32 : 128))
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Whether only this machine can reach a listener at this address. */
export function isLoopback(ip: string): boolean {
  const kind = isIP(ip)
  return kind !== 0 && loopback.check(ip, kind === 4 ? 'ipv4' : 'ipv6')
}

export const hostName = z
  .string('expected a host name')
  .regex(
    /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i,
    'expected a host name without port',
  )
  .transform((given) => given.toLowerCase())

/** A host to connect to: `se.example.org`, `*.example.org`, `*` or `[2001:db8::1]`, each also with `:port`. */
export const remoteHost = z
  .string('expected a host')
  .regex(
    /^(\*|(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?$/i,
    'expected a host such as se.example.org, *.example.org, * or se.example.org:1094',
  )
  .transform((given) => given.toLowerCase())

/** `https://gw.example.org` or with a port; no path, no query, no user. Becomes the origin, without a final slash. */
export const origin = z.string('expected an address such as https://gw.example.org').transform((given, context) => {
  const url = URL.parse(given)
  const isPlain = url !== null && ['http:', 'https:'].includes(url.protocol) && `${url.origin}/` === url.href
  if (isPlain) return url.origin
  context.addIssue('expected an address such as https://gw.example.org, without a path')
  return z.NEVER
})

/** One word of a few. */
export function choice<const Words extends readonly [string, ...string[]]>(...words: Words) {
  return z.enum(words, {
    error: ({ input }) => {
      const near = typeof input === 'string' ? nearest(input, words) : undefined
      return `expected ${words.join(', ').replace(/, ([^,]*)$/, ' or $1')}${near === undefined ? '' : `; did you mean ${near}?`}`
    },
  })
}

/** A list; null and a single value are mistakes, and say so. */
export function list<Item extends z.ZodType>(item: Item, most = 10_000) {
  return z.array(item, 'expected a list').max(most, `expected at most ${most} items`)
}

/**
 * A section with exactly these keys. The message for keys it does not know has one line for each of
 * them, in their order, so that each is reported at its own place.
 */
export function section<const Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape)
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(key, known)).join('\n')
      if (issue.code === 'invalid_type' && issue.input !== undefined) {
        return `expected a section with the keys ${known.join(', ')}`
      }
      return undefined
    },
  })
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known)
  return near === undefined ? `unknown key; known here are ${known.join(', ')}` : `unknown key; did you mean ${near}?`
}

/** How many of these keys were given. */
export function countGiven(...values: readonly unknown[]): number {
  return values.filter((value) => value !== undefined).length
}
