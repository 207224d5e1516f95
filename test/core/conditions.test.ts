import t from 'tap'
import type { CommitCondition, Entry } from '../../backends/backend.ts'
import { commitCondition, isUnmodified, requireConditions } from '../../gateway/core/conditions.ts'
import { StorageError } from '../../gateway/core/errors.ts'
import type { Conditions } from '../../gateway/core/storage.ts'

/** Modified half a second after second 1,000. */
const entry: Entry = {
  name: 'f',
  type: 'file',
  size: 1,
  modified: 1_000_500_000_000n,
  changed: 0n,
  version: 'v1',
  id: '1',
}

function tell(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return StorageError.from(error).code
  }
}

t.test('reads follow the order of RFC 9110, section 13.2.2', async (t) => {
  const cases: ReadonlyArray<readonly [Conditions, unknown]> = [
    [{}, false],
    [{ ifMatch: '*' }, false],
    [{ ifMatch: ['v0', 'v1'] }, false],
    [{ ifMatch: ['v0'] }, 'precondition'],
    [{ ifMatch: [] }, 'precondition'],
    [{ ifNoneMatch: '*' }, true],
    [{ ifNoneMatch: ['v1'] }, true],
    [{ ifNoneMatch: ['v0'] }, false],
    [{ ifNoneMatch: [] }, false],
    [{ ifUnmodifiedSince: 1000 }, false],
    [{ ifUnmodifiedSince: 999 }, 'precondition'],
    [{ ifModifiedSince: 1000 }, true],
    [{ ifModifiedSince: 999 }, false],
    // If-Match takes the place of If-Unmodified-Since, If-None-Match that of If-Modified-Since.
    [{ ifMatch: ['v1'], ifUnmodifiedSince: 999 }, false],
    [{ ifNoneMatch: ['v0'], ifModifiedSince: 1000 }, false],
    [{ ifMatch: ['v0'], ifNoneMatch: ['v1'] }, 'precondition'],
  ]
  for (const [conditions, expected] of cases) {
    t.equal(
      tell(() => isUnmodified(conditions, entry)),
      expected,
      JSON.stringify(conditions),
    )
  }
})

t.test('changes: what fails at once, and what must still hold at the commit', async (t) => {
  const pinned = { versions: ['v1'] }
  const cases: ReadonlyArray<readonly [Conditions, Entry | undefined, CommitCondition | 'precondition']> = [
    [{}, entry, 'any'],
    [{}, undefined, 'any'],
    [{ ifMatch: '*' }, entry, 'present'],
    [{ ifMatch: '*' }, undefined, 'precondition'],
    [{ ifMatch: ['v1', 'v2'] }, entry, { versions: ['v1', 'v2'] }],
    [{ ifMatch: ['v2'] }, entry, 'precondition'],
    [{ ifNoneMatch: '*' }, entry, 'precondition'],
    [{ ifNoneMatch: '*' }, undefined, 'absent'],
    [{ ifNoneMatch: ['v1'] }, entry, 'precondition'],
    [{ ifNoneMatch: ['v2'] }, entry, pinned],
    [{ ifNoneMatch: ['v2'] }, undefined, 'absent'],
    [{ ifUnmodifiedSince: 999 }, entry, 'precondition'],
    [{ ifUnmodifiedSince: 1000 }, entry, pinned],
    [{ ifUnmodifiedSince: 1000 }, undefined, 'absent'],
    [{ ifModifiedSince: 2000 }, entry, 'any'],
    [{ ifMatch: ['v1'], ifNoneMatch: ['v2'] }, entry, pinned],
  ]
  for (const [conditions, seen, expected] of cases) {
    const got = tell(() => {
      requireConditions(conditions, seen)
      return commitCondition(conditions, seen)
    })
    t.same(got, expected, `${JSON.stringify(conditions)} ${seen ? 'there' : 'missing'}`)
  }
})
