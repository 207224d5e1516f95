/** The numbers of objects: never used again, one for all names, gone when nobody needs them. */

import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { type Node, NodeTable } from '../../mounts/fuse/nodes.ts'

const table = () => new NodeTable(parsePath('/top'))

function seen(
  nodes: NodeTable,
  directory: Node,
  name: string,
  id = name,
  links = 1,
  type: Node['type'] = 'file',
): Node {
  const node = nodes.see(directory, name, { id, type, links })
  node.lookups++
  return node
}

const directory = (nodes: NodeTable, parent: Node, name: string) => seen(nodes, parent, name, name, 2, 'directory')

t.test('a path is put together from the names that lead to a node', async (t) => {
  const nodes = table()
  const a = directory(nodes, nodes.root, 'a')
  const b = directory(nodes, a, 'b')
  const file = seen(nodes, b, 'file')
  t.equal(nodes.pathOf(nodes.root), '/top')
  t.equal(nodes.pathOf(file), '/top/a/b/file')
  t.equal(nodes.find(parsePath('/top/a/b/file')), file)
  t.equal(nodes.find(parsePath('/elsewhere')), undefined)
  nodes.move(a, 'b', nodes.root, 'c')
  t.equal(nodes.pathOf(file), '/top/c/file', 'a moved directory takes along what is below')
})

t.test('a node of its own that ends leaves the name to the object', (t) => {
  const nodes = table()
  const file = seen(nodes, nodes.root, 'f')
  const apart = nodes.apart(nodes.root, 'f', 'file', 7)
  apart.lookups++
  nodes.forget(apart.nodeid, 1)
  t.equal(nodes.child(nodes.root, 'f'), file)
  t.equal(nodes.find(parsePath('/top/f')), file)
  t.end()
})

t.test('one object has one number, whatever its names', async (t) => {
  const nodes = table()
  const one = seen(nodes, nodes.root, 'one', 'id', 2)
  t.equal(seen(nodes, nodes.root, 'other', 'id', 2), one)
  nodes.unlink(nodes.root, 'other')
  t.equal(nodes.pathOf(one), '/top/one', 'the name that is left is its path')
  nodes.unlink(nodes.root, 'one')
  t.throws(() => nodes.pathOf(one), { message: 'ESTALE' }, 'without a name it is stale')
  t.equal(nodes.get(one.nodeid), one, 'and still known to the kernel')
})

t.test('what somebody else renamed is found at its new place', async (t) => {
  const nodes = table()
  const a = directory(nodes, nodes.root, 'a')
  const file = seen(nodes, a, 'x', 'id')
  t.equal(seen(nodes, nodes.root, 'y', 'id'), file)
  t.equal(nodes.pathOf(file), '/top/y')
  t.equal(nodes.child(a, 'x'), undefined)
})

t.test('another object at a name is another node', async (t) => {
  const nodes = table()
  const before = seen(nodes, nodes.root, 'x', 'one')
  const after = seen(nodes, nodes.root, 'x', 'two')
  t.not(after.nodeid, before.nodeid)
  t.notOk(nodes.hasPath(before))
  const asDirectory = seen(nodes, nodes.root, 'x', 'two', 1, 'directory')
  t.not(asDirectory.nodeid, after.nodeid, 'a node never changes its type')
})

t.test('a node is forgotten with its last look-up, and numbers are never used again', async (t) => {
  const nodes = table()
  const a = directory(nodes, nodes.root, 'a')
  const file = seen(nodes, a, 'x')
  file.lookups++
  nodes.forget(file.nodeid, 1)
  nodes.forget(a.nodeid, 1)
  t.equal(nodes.get(a.nodeid), a, 'it stays for what is below')
  nodes.forget(file.nodeid, 1)
  t.equal(nodes.size, 1, 'then both go')
  t.throws(() => nodes.get(file.nodeid), { message: 'ESTALE' })
  t.ok(seen(nodes, nodes.root, 'x').nodeid > file.nodeid)
})

t.test('what is held stays without look-ups', async (t) => {
  const nodes = table()
  const file = seen(nodes, nodes.root, 'x')
  nodes.hold(file)
  nodes.forget(file.nodeid, 1)
  t.equal(nodes.size, 2)
  nodes.letGo(file)
  t.equal(nodes.size, 1)
})

t.test('the kernel cannot forget more than it knows, nor the root', async (t) => {
  const nodes = table()
  const file = seen(nodes, nodes.root, 'x')
  nodes.forget(file.nodeid, 5)
  nodes.forget(file.nodeid, 1)
  nodes.forget(1, 100)
  t.equal(nodes.get(1), nodes.root)
  t.equal(nodes.size, 1)
})

t.test('a gateway that says that a directory lies below itself is not believed', async (t) => {
  const nodes = table()
  const a = directory(nodes, nodes.root, 'a')
  const b = directory(nodes, a, 'b')
  t.throws(() => nodes.see(b, 'c', { id: 'a', type: 'directory' }), { code: 'stale' })
  t.throws(() => nodes.see(a, 'a', { id: 'a', type: 'directory' }), { code: 'stale' })
})

t.test('two objects that change places keep their numbers', async (t) => {
  const nodes = table()
  const a = directory(nodes, nodes.root, 'a')
  const [one, other] = [seen(nodes, a, 'one'), seen(nodes, nodes.root, 'other')]
  nodes.exchange(a, 'one', nodes.root, 'other')
  t.equal(nodes.pathOf(one), '/top/other')
  t.equal(nodes.pathOf(other), '/top/a/one')
})

t.test('a rename takes the name from what had it', async (t) => {
  const nodes = table()
  const [one, other] = [seen(nodes, nodes.root, 'one'), seen(nodes, nodes.root, 'other')]
  nodes.move(nodes.root, 'one', nodes.root, 'other')
  t.equal(nodes.pathOf(one), '/top/other')
  t.notOk(nodes.hasPath(other))
  nodes.forget(other.nodeid, 1)
  nodes.forget(one.nodeid, 1)
  t.equal(nodes.size, 1)
})

t.test('what gets its id when it is complete keeps its number', async (t) => {
  const nodes = table()
  const draft = seen(nodes, nodes.root, 'x', '')
  t.ok(nodes.adopt(draft, 'id'))
  t.equal(seen(nodes, nodes.root, 'x', 'id'), draft)
  t.notOk(nodes.adopt(draft, 'other'), 'once')
})

t.test('a path that no gateway takes is refused', async (t) => {
  const nodes = table()
  let at = nodes.root
  for (let i = 0; i < 20; i++) at = seen(nodes, at, 'n'.repeat(250), `d${i}`, 1, 'directory')
  t.throws(() => nodes.pathOf(at), { message: 'ENAMETOOLONG' })
})
