/**
 * Whether an answer has the shape that RFC 4511 gives it, to its last byte. The library reads answers in loops that do not end
 * when a length inside is wrong, so nothing else reaches it.
 */

/** Tags of RFC 4511, section 4: those of answers, and of their parts. */
const tags = {
  sequence: 0x30,
  set: 0x31,
  integer: 0x02,
  enumerated: 0x0a,
  boolean: 0x01,
  octets: 0x04,
  controls: 0xa0,
  referral: 0xa3,
  bindResponse: 0x61,
  searchEntry: 0x64,
  searchDone: 0x65,
  searchReference: 0x73,
  extendedResponse: 0x78,
} as const

/** One element: where its contents begin and end. */
type Check = (tag: number, start: number, end: number, index: number) => boolean

/** `message` is one whole element, as `frames.ts` gives it. */
export function isAnswer(message: Buffer): boolean {
  const isOne = tile(message, 0, message.length, (tag, start, end) => {
    if (tag !== tags.sequence) return false
    return tile(message, start, end, (part, from, to, index) => {
      if (index === 0) return part === tags.integer && to - from >= 1 && to - from <= 4
      if (index === 1) return isOperation(message, part, from, to)
      return index === 2 && part === tags.controls && areControls(message, from, to)
    })
  })
  return isOne
}

function isOperation(message: Buffer, tag: number, start: number, end: number): boolean {
  switch (tag) {
    case tags.searchEntry:
      return tile(message, start, end, (part, from, to, index) => {
        if (index === 0) return part === tags.octets
        return index === 1 && part === tags.sequence && areAttributes(message, from, to)
      })
    case tags.searchReference:
      return tile(message, start, end, isOctets)
    case tags.bindResponse:
    case tags.searchDone:
    case tags.extendedResponse:
      return isResult(message, start, end)
    default:
      return false
  }
}

function areAttributes(message: Buffer, start: number, end: number): boolean {
  return tile(message, start, end, (tag, from, to) => {
    if (tag !== tags.sequence) return false
    return tile(message, from, to, (part, first, last, index) => {
      if (index === 0) return part === tags.octets
      return index === 1 && part === tags.set && tile(message, first, last, isOctets)
    })
  })
}

/** resultCode, matchedDN, diagnosticMessage, then what some results have besides: all of it primitive but for referrals. */
function isResult(message: Buffer, start: number, end: number): boolean {
  let parts = 0
  const isTiled = tile(message, start, end, (tag, from, to, index) => {
    parts = index + 1
    if (index === 0) return tag === tags.enumerated && to - from >= 1 && to - from <= 4
    if (index < 3) return tag === tags.octets
    return tag === tags.referral ? tile(message, from, to, isOctets) : tag >= 0x80 && tag < 0xa0
  })
  return isTiled && parts >= 3
}

function areControls(message: Buffer, start: number, end: number): boolean {
  return tile(message, start, end, (tag, from, to) => {
    if (tag !== tags.sequence || from === to) return false
    return tile(message, from, to, (part, first, last, index) => {
      if (index === 0) return part === tags.octets
      const isFlag = index === 1 && part === tags.boolean && last - first === 1
      return isFlag || (index < 3 && part === tags.octets && last === to)
    })
  })
}

const isOctets: Check = (tag) => tag === tags.octets

/** Whether elements fill the bytes from `start` to `end` exactly, and each of them passes. */
function tile(message: Buffer, start: number, end: number, check: Check): boolean {
  let at = start
  for (let index = 0; at < end; index++) {
    const tag = message[at] ?? 0
    const first = message[at + 1]
    if (first === undefined || at + 2 > end) return false
    const count = first < 0x80 ? 0 : first & 0x7f
    if (first === 0x80 || count > 4 || at + 2 + count > end) return false
    const from = at + 2 + count
    const length = count === 0 ? first : message.readUIntBE(at + 2, count)
    if (length > end - from || !check(tag, from, from + length, index)) return false
    at = from + length
  }
  return true
}
