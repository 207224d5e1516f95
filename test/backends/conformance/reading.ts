/** Open files: bytes, ranges and the small files that come along with the open. */

import { buffer } from 'node:stream/consumers'
import { act, type Case, fails, pattern } from './area.ts'

const sizes = [0, 1, 4095, 4096, 65535, 65536, 65537, 1024 * 1024 + 3]

export const reading: readonly Case[] = [
  {
    name: 'bytes come back as they were written',
    async run(t, area) {
      for (const size of sizes) {
        const bytes = pattern(size)
        const entry = await area.write(area.at(`file-${size}`), bytes)
        t.equal(entry.size, size)
        t.ok((await area.read(area.at(`file-${size}`))).equals(bytes), `${size} bytes`)
      }
    },
  },
  {
    name: 'a range gives exactly its bytes',
    async run(t, area) {
      const bytes = pattern(300_000)
      await area.write(area.at('file'), bytes)
      const file = await act(area.backend.open(area.at('file'), {}, area.call))
      const ranges = [
        [0, 1],
        [299_999, 300_000],
        [65_535, 65_537],
        [1, 299_999],
        [100, 100],
        [300_000, 300_000],
        [0, 300_000],
      ] as const
      for (const [start, end] of ranges) {
        t.ok((await buffer(file.stream({ start, end }))).equals(bytes.subarray(start, end)), `${start} to ${end}`)
      }
      await file.close()
    },
  },
  {
    name: 'reading at an offset gives what there is, and nothing beyond the end',
    async run(t, area) {
      const bytes = pattern(100_000)
      await area.write(area.at('file'), bytes)
      const file = await act(area.backend.open(area.at('file'), {}, area.call))
      const into = new Uint8Array(5000)
      t.equal(await file.read(into, 40_000), 5000)
      t.ok(Buffer.from(into).equals(bytes.subarray(40_000, 45_000)))
      t.equal(await file.read(into, 98_000), 2000)
      t.ok(Buffer.from(into.subarray(0, 2000)).equals(bytes.subarray(98_000)))
      t.equal(await file.read(into, 100_000), 0)
      t.equal(await file.read(into, 10_000_000_000), 0)
      t.equal(await file.read(new Uint8Array(0), 0), 0)
      await file.close()
    },
  },
  {
    name: 'only small files bring their bytes along',
    async run(t, area) {
      for (const size of [0, 1, 4096, 4097]) {
        const bytes = pattern(size)
        const path = area.at(`file-${size}`)
        await area.write(path, bytes)
        const file = await act(area.backend.open(path, { inlineUpTo: 4096 }, area.call))
        if (size > 4096) t.equal(file.content, undefined)
        if (file.content) t.ok(Buffer.from(file.content).equals(bytes), `${size} bytes came along`)
        t.ok((await buffer(file.stream({ start: 0, end: size }))).equals(bytes), 'a stream works all the same')
        await file.close()
      }
      const file = await act(area.backend.open(area.at('file-1'), {}, area.call))
      t.equal(file.content, undefined, 'not when not asked for')
      await file.close()
    },
  },
  {
    name: 'an open file tells attributes and bytes of one object',
    async run(t, area) {
      await area.write(area.at('file'), 'first')
      const entry = await area.known(area.at('file'))
      const pending = await area.backend.open(area.at('file'), {}, area.call)
      const file = await pending.proceed()
      t.same(file.entry, entry)
      if (!area.backend.enforces(area.call.principal)) t.same(pending.trail.entry, entry)
      await file.close()
      await pending.release()
    },
  },
  {
    name: 'an open file keeps its bytes when another takes its name',
    async run(t, area) {
      await area.write(area.at('file'), pattern(200_000))
      const file = await act(area.backend.open(area.at('file'), {}, area.call))
      await area.write(area.at('file'), 'other')
      t.ok((await buffer(file.stream({ start: 0, end: 200_000 }))).equals(pattern(200_000)))
      await area.remove(area.at('file'))
      t.ok((await buffer(file.stream({ start: 1000, end: 2000 }))).equals(pattern(200_000).subarray(1000, 2000)))
      await file.close()
    },
  },
  {
    name: 'several readers of one file do not disturb each other',
    async run(t, area) {
      const bytes = pattern(500_000)
      await area.write(area.at('file'), bytes)
      const file = await act(area.backend.open(area.at('file'), {}, area.call))
      const parts = await Promise.all(
        [0, 100_000, 200_000, 300_000, 400_000].map((start) => buffer(file.stream({ start, end: start + 100_000 }))),
      )
      t.ok(Buffer.concat(parts).equals(bytes))
      await file.close()
    },
  },
  {
    name: 'a stream that is given up leaves the file open for others',
    async run(t, area) {
      const bytes = pattern(900_000)
      await area.write(area.at('file'), bytes)
      const file = await act(area.backend.open(area.at('file'), {}, area.call))
      for (let round = 0; round < 10; round++) {
        const stream = file.stream({ start: 0, end: 900_000 })
        for await (const chunk of stream) {
          t.ok((chunk as Buffer).length > 0)
          break
        }
        t.ok(stream.destroyed)
      }
      t.ok((await buffer(file.stream({ start: 0, end: 900_000 }))).equals(bytes))
      await file.close()
    },
  },
  {
    name: 'only a file can be opened, and proceed says so',
    async run(t, area) {
      const onDirectory = await area.backend.open(area.base, {}, area.call)
      await fails(t, onDirectory.proceed(), 'is-directory')
      await onDirectory.release()
      const onNothing = await area.backend.open(area.at('missing'), {}, area.call)
      t.equal(onNothing.trail.entry, undefined)
      await fails(t, onNothing.proceed(), 'not-found')
      await onNothing.release()
      await fails(t, area.read(area.at('missing', 'more')), 'not-found')
    },
  },
  {
    name: 'an open that is not wanted is released',
    async run(t, area) {
      await area.write(area.at('file'), 'x')
      for (let round = 0; round < 50; round++) {
        const pending = await area.backend.open(area.at('file'), { inlineUpTo: 65536 }, area.call)
        await pending.release()
      }
      t.equal(await area.text(area.at('file')), 'x')
    },
  },
]
