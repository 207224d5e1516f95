import t from 'tap'
import { run } from './running.ts'
import { beginDownload, bigSize, configText, start } from './world.ts'

t.test('SIGTERM lets a transfer finish and accepts nothing new', async (t) => {
  const { gateway, token } = await start(t, { workers: 1 })
  const url = await gateway.url()
  const rest = await beginDownload(gateway, token)
  gateway.signal('SIGTERM')
  await gateway.line('ending; transfers may finish')
  // A connection made just now may be nobody's: such a one is not answered, and cut in the end.
  const fresh = () => fetch(url, { headers: { Connection: 'close' }, signal: AbortSignal.timeout(500) })
  while (
    await fresh().then(
      () => true,
      () => false,
    )
  ) {}
  t.equal(await rest(), bigSize)
  t.equal(await gateway.ended, 0)
})

t.test('SIGTERM cuts a transfer that does not end in time', async (t) => {
  const { gateway, token } = await start(t, { workers: 1, shutdownTimeout: '300ms' })
  const rest = await beginDownload(gateway, token)
  gateway.signal('SIGTERM')
  t.equal(await gateway.ended, 0)
  await t.rejects(rest())
})

t.test('a gateway that cannot read its keys or listen does not start, and says why', async (t) => {
  const gateway = await run(t, (directory) => {
    const text = configText(directory, {}).replace('state }', 'state, masterKeyFile: nowhere.key }')
    return text
  })
  t.equal(await gateway.ended, 2)
  t.match(gateway.stderr, /nowhere\.key: cannot be read \(ENOENT\)/)
})
