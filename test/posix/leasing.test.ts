import t from 'tap'
import type { Entry, Trail } from '../../backends/backend.ts'
import { leaseKey } from '../../backends/posix/leasing.ts'

t.test('mounts that tell more or less of a directory wait for each other', async (t) => {
  const above: Omit<Trail, 'ancestors'> = { parentExists: true, entry: undefined }
  const keyOf = (id: string) => leaseKey({ ...above, ancestors: [{ id } as Entry] }, 'name')
  const plain = keyOf('1f4')
  t.equal(keyOf('fd01.1f4'), plain, 'the device')
  t.equal(keyOf('1f4-18ea69597fcc7e9f'), plain, 'the time of birth, which not every NFS server tells')
  t.equal(keyOf('fd01.1f4-18ea69597fcc7e9f'), plain)
  t.not(keyOf('1f5'), plain)
})
