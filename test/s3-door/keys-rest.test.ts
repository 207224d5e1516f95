/** Access keys over the REST API: what its words come to. */

import t from 'tap'
import type { S3KeyInfo, S3KeyOrder, S3Keys } from '../../acl/identity/identity.ts'
import { Secret } from '../../acl/secret.ts'
import { root } from '../../gateway/core/path.ts'
import { openS3 } from './world.ts'

t.test('read and write together are everything, tape too; each alone is less', async (t) => {
  let ordered: S3KeyOrder | undefined
  const info: S3KeyInfo = {
    ...{ id: 'AKIAAAAAAAAAAAAAAAAA', user: 'alice@lab.example', name: 'x', enabled: true, path: root },
    ...{ activities: 'all', networks: [], created: 0, used: undefined, expires: 1 },
  }
  const none = async () => Promise.reject(new Error('not asked for'))
  const s3: S3Keys = {
    ...{ key: none, noteUse: none, list: none, setEnabled: none, remove: none, assume: none, endSession: none },
    create: async (_, order) => {
      ordered = order
      return { ...info, secret: new Secret('geheim') }
    },
  }
  const world = await openS3(t, { identity: { s3 } })
  const rows: readonly (readonly [allow: readonly string[] | undefined, activities: readonly string[] | undefined])[] =
    [
      [undefined, undefined],
      [['read', 'write'], undefined],
      [['write', 'read', 'read'], undefined],
      [['read'], ['READ_METADATA', 'LIST', 'DOWNLOAD']],
      [['write'], ['READ_METADATA', 'UPLOAD', 'DELETE', 'MANAGE', 'UPDATE_METADATA']],
      [[], []],
    ]
  for (const [allow, activities] of rows) {
    ordered = undefined
    const answer = await fetch(`http://localhost:${world.httpPort}/.portolan/api/v1/s3-keys`, {
      method: 'POST',
      headers: { authorization: 'Bearer alice', 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'x', ...(allow && { allow }) }),
    })
    t.equal(answer.status, 201)
    t.match(await answer.json(), { allow: ['read', 'write'], secret: 'geheim' })
    t.same((ordered as S3KeyOrder | undefined)?.activities, activities, JSON.stringify(allow))
  }
})
