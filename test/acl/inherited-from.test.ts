import t from 'tap'
import { aceFlag } from '../../acl/acl.ts'
import { parseEntry } from '../../acl/codec/nfs4-text.ts'
import { inheritedFrom, isInherited } from '../../acl/inherited-from.ts'
import { entry } from './cast.ts'

const directory = (...aces: readonly string[]) => entry('directory', aces.join(' '), { name: 'dir' })
const always = () => true
const file = entry('file', '')

t.test('an inherited entry is followed to the directory that has it as its own', async (t) => {
  const heir = parseEntry('D:I:bob:r', 'file')
  t.ok(isInherited(heir))
  const own = directory('A::carol:r', 'D:fd:bob:r')
  const passedOn = directory('D:fdI:bob:r')
  t.equal(inheritedFrom(heir, file, [own], always), 0)
  t.equal(inheritedFrom(heir, file, [own, passedOn], always), 0, 'through one that only passes it on')
  t.equal(inheritedFrom(heir, file, [directory('D:fd:bob:r'), own], always), 1, 'the nearest')
  t.equal(inheritedFrom(heir, file, [own, directory('D:fd:bob:rD')], always), 1, 'DELETE_CHILD is for directories')
  t.equal(inheritedFrom(heir, file, [own, directory('D:fiI:bob:r')], always), 0, 'split in two on the way')
})

t.test('where it cannot be told, nothing is said', async (t) => {
  const heir = parseEntry('D:I:bob:r', 'file')
  const own = directory('D:fd:bob:r')
  for (const [above, why] of [
    [[], 'nothing above'],
    [[directory('D:fdI:bob:r')], 'the top only passes it on'],
    [[own, directory('A:fd:bob:r')], 'another type'],
    [[own, directory('D:fd:carol:r')], 'another user'],
    [[own, directory('D:fdg:bob:r')], 'a group of that name'],
    [[own, directory('D:fd:bob:rw')], 'other rights'],
    [[own, directory('D::bob:r')], 'not handed down'],
    [[own, directory('D:d:bob:r')], 'handed down to directories alone'],
    [[own, entry('directory', undefined, { name: 'dir' })], 'no ACL seen'],
  ] as const) {
    t.equal(inheritedFrom(heir, file, above, always), undefined, why)
  }
  const plain = { ...heir, flags: heir.flags & ~aceFlag.inherited }
  t.equal(inheritedFrom(plain, file, [own], always), undefined, 'without the flag it is its own')
  const asked: number[] = []
  const not = (_: unknown, index: number) => {
    asked.push(index)
    return index === 1
  }
  t.equal(inheritedFrom(heir, file, [own, directory('D:fdI:bob:r')], not), undefined)
  t.same(asked, [1, 0], 'the nearest first, and none behind one that may not be looked at')
  t.equal(
    inheritedFrom(heir, directory('D:I:bob:r'), [directory('D:f:bob:r')], always),
    0,
    'a directory passes on what is for files',
  )
})
