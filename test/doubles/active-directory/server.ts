/**
 * A stand-in for a domain controller of Active Directory, in memory, after [MS-ADTS] (Active Directory Technical
 * Specification): simple binds (5.1.1.1.1), LDAP_MATCHING_RULE_IN_CHAIN (3.1.1.3.4.4.3), range retrieval of long attributes
 * (3.1.1.3.1.3.3, MaxValRange 1,500), paged results (3.1.1.3.4.1.1) and MaxPageSize (3.1.1.3.4.6: 1,000 entries, then
 * sizeLimitExceeded). Names and DNs ignore case. It reads nothing without a bind.
 */

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import {
  AndFilter,
  BerReader,
  BerWriter,
  ControlParser,
  EqualityFilter,
  ExtensibleFilter,
  type Filter,
  FilterParser,
  NotFilter,
  OrFilter,
  PagedResultsControl,
  PresenceFilter,
} from 'ldapts'
import type { Test } from 'tap'

export interface AdEntry {
  readonly dn: string
  readonly attributes: Readonly<Record<string, readonly (string | Buffer)[]>>
}

const maxValRange = 1500
const maxPageSize = 1000
const inChain = '1.2.840.113556.1.4.1941'

/** Search, its entries and its end; result codes (RFC 4511, section 4). */
const op = { bind: 0x60, bound: 0x61, unbind: 0x42, search: 0x63, entry: 0x64, done: 0x65, controls: 0xa0 } as const
const result = {
  success: 0,
  operationsError: 1,
  sizeLimitExceeded: 4,
  noSuchObject: 32,
  invalidCredentials: 49,
} as const

export class ActiveDirectory {
  readonly #server: Server
  readonly #entries: readonly AdEntry[]
  /** By DN in lower case. */
  readonly #byDn: ReadonlyMap<string, AdEntry>
  readonly #passwords: ReadonlyMap<string, string>
  /** Attributes that were asked for, in order. */
  readonly asked: string[] = []

  private constructor(server: Server, entries: readonly AdEntry[], passwords: Readonly<Record<string, string>>) {
    this.#server = server
    this.#entries = entries
    this.#byDn = new Map(entries.map((entry) => [entry.dn.toLowerCase(), entry]))
    this.#passwords = new Map(Object.entries(passwords).map(([dn, password]) => [dn.toLowerCase(), password]))
    server.on('connection', (socket) => this.#serve(socket))
  }

  /** `passwords` by DN. Runs until the test ends. */
  static async start(
    t: Test,
    entries: readonly AdEntry[],
    passwords: Readonly<Record<string, string>>,
  ): Promise<ActiveDirectory> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => void server.close())
    return new ActiveDirectory(server, entries, passwords)
  }

  get url(): string {
    return `ldap://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  #serve(socket: Socket): void {
    let isBound = false
    let received = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      for (let message = firstMessage(received); message; message = firstMessage(received)) {
        received = received.subarray(message.length)
        const reader = new BerReader(message)
        reader.readSequence()
        const id = reader.readInt() ?? 0
        const operation = reader.readSequence()
        if (operation === op.unbind) return void socket.end()
        if (operation === op.bind) {
          const code = this.#bind(reader)
          isBound = code === result.success
          socket.write(plainAnswer(id, op.bound, code))
        } else if (operation === op.search) {
          for (const answer of this.#search(id, reader, isBound)) socket.write(answer)
        } else socket.destroy()
      }
    })
  }

  #bind(reader: BerReader): number {
    reader.readInt()
    const dn = reader.readString() ?? ''
    const password = reader.readString(0x80) ?? ''
    // An empty password is a bind as nobody, which succeeds (RFC 4513, section 5.1.2).
    const isRight = password !== '' && this.#passwords.get(dn.toLowerCase()) === password
    return isRight ? result.success : result.invalidCredentials
  }

  #search(id: number, reader: BerReader, isBound: boolean): readonly Buffer[] {
    const base = (reader.readString() ?? '').toLowerCase()
    const scope = reader.readEnumeration() ?? 0
    for (const skip of ['readEnumeration', 'readInt', 'readInt', 'readBoolean'] as const) reader[skip]()
    const filter = FilterParser.parse(reader)
    reader.readSequence()
    const end = reader.offset + reader.length
    const wanted: string[] = []
    while (reader.offset < end) wanted.push(reader.readString() ?? '')
    this.asked.push(...wanted)
    if (!isBound && base !== '') return [plainAnswer(id, op.done, result.operationsError)]
    const page = pageOf(reader)
    if (base !== '' && !this.#entries.some(({ dn }) => isBelow(dn, base))) {
      return [plainAnswer(id, op.done, result.noSuchObject)]
    }
    const inScope = ({ dn }: AdEntry) => (scope === 0 ? dn.toLowerCase() === base : isBelow(dn, base))
    const found = this.#entries.filter((entry) => inScope(entry) && this.#matches(filter, entry))
    const from = Number(page?.cookie?.toString() || 0)
    const size = Math.min(page?.size ?? maxPageSize, maxPageSize)
    const some = found.slice(from, from + size)
    const entries = some.map((entry) => entryAnswer(id, entry, wanted))
    const isAll = from + size >= found.length
    if (page === undefined) {
      return [...entries, plainAnswer(id, op.done, isAll ? result.success : result.sizeLimitExceeded)]
    }
    return [...entries, pagedAnswer(id, isAll ? '' : String(from + size))]
  }

  #matches(filter: Filter, entry: AdEntry): boolean {
    if (filter instanceof AndFilter) return filter.filters.every((each) => this.#matches(each, entry))
    if (filter instanceof OrFilter) return filter.filters.some((each) => this.#matches(each, entry))
    if (filter instanceof NotFilter) return !this.#matches(filter.filter, entry)
    if (filter instanceof PresenceFilter) return valuesOf(entry, filter.attribute).length > 0
    if (filter instanceof EqualityFilter) {
      const asserted = filter.value.toString()
      return valuesOf(entry, filter.attribute).some((value) => {
        // The library's reader makes text of every assertion; identifiers of tests are chosen to survive that.
        return value.toString().toLowerCase() === asserted.toLowerCase()
      })
    }
    if (filter instanceof ExtensibleFilter && filter.rule === inChain) {
      return this.#leadsTo(entry, filter.matchType, filter.value.toLowerCase(), new Set())
    }
    throw new Error('a filter that this stand-in does not know')
  }

  #leadsTo(entry: AdEntry, attribute: string, dn: string, seen: Set<AdEntry>): boolean {
    if (seen.has(entry)) return false
    seen.add(entry)
    return valuesOf(entry, attribute).some((value) => {
      const member = value.toString().toLowerCase()
      const next = this.#byDn.get(member)
      return member === dn || (next !== undefined && this.#leadsTo(next, attribute, dn, seen))
    })
  }
}

function firstMessage(received: Buffer): Buffer | undefined {
  if (received.length < 2) return undefined
  const reader = new BerReader(received)
  if (reader.readSequence() === null || reader.length > reader.remain) return undefined
  return received.subarray(0, reader.offset + reader.length)
}

function pageOf(reader: BerReader): { readonly size: number; readonly cookie?: Buffer } | undefined {
  if (reader.peek() !== op.controls) return undefined
  reader.readSequence()
  const end = reader.offset + reader.length
  while (reader.offset < end) {
    const control = ControlParser.parse(reader, [])
    if (control instanceof PagedResultsControl) return control.value
  }
  return undefined
}

function valuesOf({ dn, attributes }: AdEntry, name: string): readonly (string | Buffer)[] {
  if (name.toLowerCase() === 'distinguishedname') return [dn]
  const key = Object.keys(attributes).find((each) => each.toLowerCase() === name.toLowerCase())
  return key === undefined ? [] : (attributes[key] ?? [])
}

function isBelow(dn: string, base: string): boolean {
  return dn.toLowerCase() === base || dn.toLowerCase().endsWith(`,${base}`)
}

function answer(id: number, operation: number, write: (writer: BerWriter) => void, controls?: Buffer): Buffer {
  const writer = new BerWriter()
  writer.startSequence()
  writer.writeInt(id)
  writer.startSequence(operation)
  write(writer)
  writer.endSequence()
  if (controls) writer.writeBuffer(controls, op.controls)
  writer.endSequence()
  return writer.buffer
}

function plainAnswer(id: number, operation: number, code: number): Buffer {
  return answer(id, operation, (writer) => writeResult(writer, code))
}

function writeResult(writer: BerWriter, code: number): void {
  writer.writeEnumeration(code)
  writer.writeString('')
  writer.writeString('')
}

function pagedAnswer(id: number, cookie: string): Buffer {
  const value = new BerWriter()
  value.startSequence()
  value.writeInt(0)
  value.writeString(cookie)
  value.endSequence()
  const control = new BerWriter()
  control.startSequence()
  control.writeString(PagedResultsControl.type)
  control.writeBuffer(value.buffer, 0x04)
  control.endSequence()
  return answer(id, op.done, (writer) => writeResult(writer, result.success), control.buffer)
}

function entryAnswer(id: number, entry: AdEntry, wanted: readonly string[]): Buffer {
  return answer(id, op.entry, (writer) => {
    writer.writeString(entry.dn)
    writer.startSequence()
    for (const description of wanted) {
      const [name = '', option] = description.split(';')
      const [, first] = /^range=(\d+)-/i.exec(option ?? '') ?? []
      const values = valuesOf(entry, name)
      const from = Number(first ?? 0)
      if (values.length <= from) continue
      const some = values.slice(from, from + maxValRange)
      const last = from + some.length >= values.length ? '*' : String(from + some.length - 1)
      const isRanged = first !== undefined || values.length > maxValRange
      // A long attribute comes without values, and its first part beside it.
      if (isRanged && first === undefined) writeAttribute(writer, name, [])
      writeAttribute(writer, isRanged ? `${name};range=${from}-${last}` : name, some)
    }
    writer.endSequence()
  })
}

function writeAttribute(writer: BerWriter, name: string, values: readonly (string | Buffer)[]): void {
  writer.startSequence()
  writer.writeString(name)
  writer.startSequence(0x31)
  for (const value of values) writer.writeBuffer(Buffer.from(value), 0x04)
  writer.endSequence()
  writer.endSequence()
}
