import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { StorageError } from '../../gateway/core/errors.ts'
import { type FormHandler, FormReader } from '../../gateway/http/multipart.ts'
import { boundaryOf, parsePartHead } from '../../gateway/http/multipart-headers.ts'
import { boundary, closing, part } from './world.ts'

const type = `multipart/form-data; boundary=${boundary}`

/** What a handler heard, in order. */
type Heard = readonly [name: string, content: string, filename?: string]

/** Reads a form that arrives in pieces; `heard` grows as its parts are dealt with. */
async function read(body: Buffer, sizes: () => number, heard: Heard[], pause = async () => {}): Promise<void> {
  const handler: FormHandler = {
    field: (name, value) => void heard.push([name, value]),
    file: async ({ field, filename, bytes }) => {
      await pause()
      const hash = createHash('sha256')
      let length = 0
      for await (const chunk of bytes.iterator({ destroyOnReturn: false })) {
        hash.update(chunk)
        length += chunk.length
      }
      heard.push([field, `${length} ${hash.digest('hex').slice(0, 8)}`, filename])
    },
  }
  const reader = new FormReader(type, handler)
  try {
    await Promise.all([finished(reader), feed(reader, body, sizes)])
  } finally {
    reader.destroy()
    await reader.settled()
  }
}

async function feed(reader: FormReader, body: Buffer, sizes: () => number): Promise<void> {
  function* pieces() {
    for (let at = 0; at < body.length; ) {
      const end = at + sizes()
      yield body.subarray(at, end)
      at = end
    }
  }
  const source = Readable.from(pieces(), { objectMode: true })
  reader.on('close', () => source.destroy())
  source.pipe(reader)
  await finished(source).catch(() => {})
}

/** Numbers that are the same in every run (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const tricky = `\r\n--${boundary.slice(0, -1)}\r\n--\r\n\r\n--`
const form = Buffer.from(
  part('csrf', 'token') +
    part('a', tricky, 't.bin') +
    part('b', '', 'empty') +
    part('a', 'x'.repeat(70_000), 'l') +
    closing,
)

t.test('a form is the same however it is cut into pieces', async (t) => {
  const whole: Heard[] = []
  await read(form, () => form.length, whole)
  t.strictSame(
    whole.map(([name, , filename]) => [name, filename]),
    [
      ['csrf', undefined],
      ['a', 't.bin'],
      ['b', 'empty'],
      ['a', 'l'],
    ],
  )
  t.match(whole[1]?.[1], `${tricky.length} `)
  for (const size of [1, 2, 3, 7, 61, 1000, 65_536]) {
    const heard: Heard[] = []
    await read(form, () => size, heard)
    t.strictSame(heard, whole, `pieces of ${size}`)
  }
  const seeded = random(1)
  for (let round = 0; round < 20; round++) {
    const heard: Heard[] = []
    await read(
      form,
      () => 1 + seeded(3000),
      heard,
      () => setImmediate(),
    )
    t.strictSame(heard, whole, `round ${round}`)
  }
})

t.test('a thousand small files are dealt with one by one, and not read ahead', async (t) => {
  const files = Array.from({ length: 900 }, (_, at) => part('f', `content ${at}`, `name ${at}`)).join('')
  const heard: Heard[] = []
  let running = 0
  let most = 0
  await read(
    Buffer.from(files + closing),
    () => 65_536,
    heard,
    async () => {
      most = Math.max(most, ++running)
      await setImmediate()
      running--
    },
  )
  t.equal(most, 1)
  t.strictSame(
    heard.map(([, , filename]) => filename),
    Array.from({ length: 900 }, (_, at) => `name ${at}`),
  )
})

t.test('whatever is sent, it ends, in order or with an error of ours', async (t) => {
  const seeded = random(20_261_122)
  const words = [
    `--${boundary}`,
    '\r\n',
    '--',
    '\r\n\r\n',
    'Content-Disposition: form-data; name="',
    '"; filename="',
    '\0',
    '\xff',
  ]
  const small = Buffer.from(
    part('csrf', 'token') + part('a', tricky, 't.bin') + part('b', 'y'.repeat(200), 'c') + closing,
  )
  const ends = { whole: 0, refused: 0 }
  for (let round = 0; round < 1000; round++) {
    const body = mutated(small, seeded, words)
    const heard: Heard[] = []
    try {
      await read(body, () => 1 + seeded(120), heard)
      ends.whole++
    } catch (error) {
      if (!(error instanceof StorageError)) t.fail(`round ${round}: ${error}`)
      else if (!['invalid', 'too-large'].includes(error.code)) t.fail(`round ${round}: ${error.code}`)
      ends.refused++
    }
  }
  t.ok(ends.whole > 50 && ends.refused > 50, JSON.stringify(ends))
})

function mutated(body: Buffer, seeded: (below: number) => number, words: readonly string[]): Buffer {
  let result = body
  for (let times = 1 + seeded(3); times > 0; times--) {
    const at = seeded(result.length + 1)
    const end = Math.min(result.length, at + seeded(40))
    const word = Buffer.from(words[seeded(words.length)] ?? '', 'latin1')
    const kinds = [
      () => [result.subarray(0, at), result.subarray(end)],
      () => [result.subarray(0, at), word, result.subarray(at)],
      () => [result.subarray(0, at), result.subarray(at, end), result.subarray(at)],
      () => [result.subarray(0, at)],
    ]
    result = Buffer.concat(kinds[seeded(kinds.length)]?.() ?? [])
  }
  return result
}

t.test('an error of who takes the parts ends the form with it', async (t) => {
  const reader = new FormReader(type, {
    field: () => {
      throw new StorageError('denied', 'not ours')
    },
    file: async () => void t.fail('a file was taken'),
  })
  const ended = finished(reader)
  reader.end(form)
  await t.rejects(ended, { code: 'denied' })
  await reader.settled()
})

t.test('what belongs to no part has an end', async (t) => {
  const filler = Buffer.alloc(65_536, 'x')
  const starts = ['', `--${boundary}\r\nX-Pad: `, part('csrf', 'token') + closing, part('a', 'x', 'name') + closing]
  for (const start of starts) {
    const heard: Heard[] = []
    let left = 200
    const body = Buffer.concat([Buffer.from(start), ...Array.from({ length: 200 }, () => filler)])
    const sizes = () => {
      left--
      return filler.length
    }
    await t.rejects(read(body, sizes, heard), { code: 'too-large' }, start)
    t.ok(left > 150, `${200 - left} pieces were taken`)
  }
})

t.test('boundaries are what RFC 2046 allows', async (t) => {
  const good: ReadonlyArray<readonly [string, string]> = [
    ['multipart/form-data; boundary=abc', 'abc'],
    ['multipart/form-data; charset=utf-8; Boundary="a b"', 'a b'],
    [`multipart/form-data; boundary=${'x'.repeat(70)}`, 'x'.repeat(70)],
  ]
  for (const [header, expected] of good) t.equal(boundaryOf(header), expected)
  for (const bad of [
    '',
    'boundary=',
    'boundary=""',
    `boundary=${'x'.repeat(71)}`,
    'boundary="a "',
    'boundary="\u00e9"',
  ]) {
    t.throws(() => boundaryOf(`multipart/form-data; ${bad}`), { code: 'invalid' }, bad)
  }
})

t.test('the headers of a part are read as browsers write them', async (t) => {
  const head = (disposition: string) => parsePartHead({ 'content-disposition': [disposition] })
  t.strictSame(head('form-data; name="a"'), { name: 'a', filename: undefined })
  t.strictSame(head('form-data; name=a; filename=b'), { name: 'a', filename: 'b' })
  t.strictSame(head('form-data; name="a"; filename="x; name=y"'), { name: 'a', filename: 'x; name=y' })
  t.strictSame(head('Form-Data; filename=""; name="a"'), { name: 'a', filename: '' })
  t.strictSame(head(`form-data; name="a"; filename="b"; filename*=UTF-8''c`), { name: 'a', filename: 'b' })
  const bad = [
    'attachment; name="a"',
    'form-data',
    'form-data; filename="x"',
    'form-data; name="a"; name="b"',
    'form-data; name="\xff"',
    `form-data; name="a"; filename*=UTF-8''%c3%a4`,
  ]
  for (const each of bad) t.throws(() => head(each), { code: 'invalid' }, each)
})
