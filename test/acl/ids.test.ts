import t from 'tap'
import { newId } from '../../acl/ids.ts'

t.test('no name that is given reads as an option of a command line', async (t) => {
  const ids = Array.from({ length: 5000 }, () => newId(12))
  t.same(
    ids.filter((id) => !/^\w[\w-]{15}$/.test(id)),
    [],
  )
  t.equal(new Set(ids).size, ids.length)
  t.ok(
    ids.some((id) => id.includes('-')),
    'elsewhere there may be dashes',
  )
})
