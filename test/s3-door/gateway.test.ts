/** S3 at a whole gateway: several processes, metrics, the log. */

import t from 'tap'
import { startTestGateway } from '../gateway/harness.ts'
import { makeLab } from '../gateway/tree.ts'

t.test('all processes hear S3, and count its operations', async (t) => {
  const gateway = await startTestGateway(t, {
    mounts: [{ path: '/lab', make: (top) => void makeLab(top) }],
    ...{ workers: 2, metrics: true, s3: { buckets: { lab: '/lab' } } },
  })
  for (let turn = 0; turn < 4; turn++) {
    const put = await gateway.s3({ method: 'PUT', path: `/lab/alice/${turn}.txt`, user: 'alice', body: 'x' })
    t.equal(put.status, 200)
    t.match(await gateway.auditOf(put), { door: 's3', principal: /alice/, path: `/lab/alice/${turn}.txt` })
  }
  t.equal((await gateway.s3({ path: '/lab/alice/0.txt', user: 'bob' })).status, 403)
  const metrics = await fetch(`http://127.0.0.1:${gateway.metricsPort}/metrics`)
  const text = await metrics.text()
  t.match(text, /^portolan_s3_requests_total\{operation="PutObject",status="200"\} 4$/m)
  t.match(text, /^portolan_s3_requests_total\{operation="GetObject",status="403"\} 1$/m)
  t.notMatch(gateway.logText() + gateway.auditText(), /secret-of-/)
})
