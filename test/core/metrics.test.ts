import t from 'tap'
import { Metrics } from '../../gateway/core/metrics.ts'
import { parsePath } from '../../gateway/core/path.ts'
import { Storage } from '../../gateway/core/storage.ts'
import { Namespace } from '../../mounts/namespace.ts'
import { callBy, outcome, World } from './world.ts'

t.test('calls, durations, bytes and drafts are counted, without paths and users of callers', async (t) => {
  const world = new World()
  t.teardown(() => world.end())
  const metrics = new Metrics()
  const { audit, spillDirectory } = world
  const storage = new Storage({ namespace: new Namespace(world.mounts), audit, spillDirectory, metrics })
  const keeper = callBy('keeper')
  const path = parsePath('/data/very-secret-name')
  const writing = await storage.write(keeper, path)
  t.match(await metrics.registry.metrics(), /^portolan_drafts_open 1$/m)
  writing.body.end('12345')
  await writing.commit()
  const reading = await storage.read(keeper, path)
  if (reading.kind === 'bytes') await reading.close({ bytes: 5 })
  t.equal(await outcome(storage.read(callBy('bob'), parsePath('/data/none'))), 'not-found')
  const text = await metrics.registry.metrics()
  t.match(text, 'portolan_calls_total{door="http",action="create",outcome="ok"} 1')
  t.match(text, 'portolan_calls_total{door="http",action="read",outcome="ok"} 1')
  t.match(text, 'portolan_calls_total{door="http",action="read",outcome="not-found"} 1')
  t.match(text, 'portolan_content_bytes_total{door="http",direction="in"} 5')
  t.match(text, 'portolan_content_bytes_total{door="http",direction="out"} 5')
  t.match(text, 'portolan_call_duration_seconds_count{door="http",action="read"} 2')
  t.match(text, 'portolan_call_duration_seconds_bucket{le="+Inf",door="http",action="read"} 2')
  t.match(text, 'portolan_mount_calls_in_flight{mount="/data"} 0')
  t.match(text, 'portolan_audit_state{what="refusing"} 0')
  t.match(text, /^portolan_drafts_open 0$/m)
  t.notMatch(text, /very-secret-name|keeper|bob/)
  t.match(await metrics.registry.getMetricsAsJSON(), [{ name: 'portolan_calls_total' }])
})
