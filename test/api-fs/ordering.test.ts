/** Writes that meet: the one that came last is what stays. */

import t from 'tap'
import { openFs } from './client.ts'

t.test('a write that hangs, is followed by a newer one does not come last', async (t) => {
  const hanging = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const { mount } = await openFs(t, {
    around: (storage) =>
      new Proxy(storage, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target)
          if (typeof value !== 'function') return value
          if (name !== 'edit') return value.bind(target)
          return async (...words: Parameters<typeof storage.edit>) => {
            const file = await target.edit(...words)
            const write = file.write.bind(file)
            let count = 0
            file.write = async (bytes, offset) => {
              if (++count === 1) {
                begun.resolve()
                await hanging.promise
              }
              return write(bytes, offset)
            }
            return file
          }
        },
      }),
  })
  const client = await mount()
  const create = { exclusive: true, mode: 0o600 }
  const { json } = await client.op('open', { path: '/data/new', write: true, create })
  const handle = String(json.handle)
  const first = client.write(handle, 0, 'old')
  await begun.promise
  t.equal((await client.write(handle, 3, 'beside')).status, 204, 'what does not meet it does not wait')
  const newer = client.write(handle, 1, 'new')
  // Whoever let it pass would have answered by then.
  setTimeout(() => hanging.resolve(), 300)
  for (const { status } of await Promise.all([newer, first])) t.equal(status, 204)
  t.equal((await client.read(handle, 0, 20)).body.toString(), 'oneweside')
})
