/** Many members of a directory in one message: few and large values, since each one is cloned. */

import type { EntryWire } from './wire.ts'

/** The text that is kept with a file, or the id under which it may be in the overflow store; undefined for nothing. */
export type KeptWire = string | { readonly overflow: string } | undefined
/** Undefined: there is no such name. */
export type MemberWire = readonly [EntryWire, KeptWire?] | undefined

/** In the order of the names that were asked for. */
export interface PackedMembers {
  /** Content versions, which begin with the id; a newline between two, and nothing for what is not there. */
  readonly versions: string
  /** Modification and change time of each. */
  readonly times: BigInt64Array
  /** Type, size, mode, links and ACL of each. */
  readonly numbers: Float64Array
  /** Of those that have any: index and what is kept. */
  readonly kept: ReadonlyArray<readonly [number, NonNullable<KeptWire>]>
  /** Of those that have any: index, target and generation. */
  readonly more: ReadonlyArray<readonly [index: number, target: string | undefined, generation: string | undefined]>
}

const perMember = 5

export function pack(members: readonly MemberWire[]): PackedMembers {
  const versions: string[] = []
  const times = new BigInt64Array(2 * members.length)
  const numbers = new Float64Array(perMember * members.length)
  const kept: [number, NonNullable<KeptWire>][] = []
  const more: [number, string | undefined, string | undefined][] = []
  for (const [index, member] of members.entries()) {
    if (!member) {
      versions.push('')
      continue
    }
    const [[, type, size, modified, changed, version, , mode, links, acl, target, generation], text] = member
    versions.push(version)
    times[2 * index] = modified
    times[2 * index + 1] = changed
    const at = perMember * index
    numbers[at] = type
    numbers[at + 1] = size
    numbers[at + 2] = mode
    numbers[at + 3] = links
    numbers[at + 4] = acl
    if (text !== undefined) kept.push([index, text])
    if (target !== undefined || generation !== undefined) more.push([index, target, generation])
  }
  return { versions: versions.join('\n'), times, numbers, kept, more }
}

/** `names`: as they were asked for. */
export function unpack(names: readonly string[], packed: PackedMembers): readonly MemberWire[] {
  const { versions, times, numbers } = packed
  const kept = new Map(packed.kept)
  const more = new Map(packed.more.map(([index, ...rest]) => [index, rest]))
  return versions.split('\n').map((version, index) => {
    const name = names[index]
    if (version === '' || name === undefined) return undefined
    const at = perMember * index
    const number = (of: number) => numbers[at + of] ?? 0
    const id = version.slice(0, version.indexOf('-'))
    const plain = [
      name,
      number(0),
      number(1),
      times[2 * index] ?? 0n,
      times[2 * index + 1] ?? 0n,
      version,
      id,
      number(2),
      number(3),
      number(4),
    ] as const
    const rest = more.get(index)
    return [rest ? [...plain, ...rest] : plain, kept.get(index)]
  })
}
