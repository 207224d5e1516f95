/** The memory that many nodes take. */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { root } from '../../gateway/core/path.ts'
import { NodeTable } from '../../mounts/fuse/nodes.ts'

t.test(
  'hundreds of thousands of files take less than 300 bytes each, and nothing once they are forgotten',
  async (t) => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    const nodes = new NodeTable(root)
    collect()
    const before = process.memoryUsage().heapUsed
    const directories = Array.from({ length: 300 }, (_, i) => {
      const node = nodes.see(nodes.root, `directory-${i}`, { id: `posix:64769:${i}`, type: 'directory' })
      node.lookups++
      return node
    })
    let last = 0
    for (const [i, directory] of directories.entries()) {
      for (let j = 0; j < 1000; j++) {
        const id = `posix:64769:${i * 1000 + j + 5000}`
        const node = nodes.see(directory, `file-${j}.root`, { id, type: 'file', links: 1 })
        node.lookups++
        last = node.nodeid
      }
    }
    collect()
    const each = (process.memoryUsage().heapUsed - before) / 300_300
    t.comment(`${Math.round(each)} bytes each`)
    t.ok(each < 300, `${Math.round(each)} bytes`)
    for (let nodeid = last; nodeid > 1; nodeid--) nodes.forget(nodeid, 1)
    t.equal(nodes.size, 1)
    collect()
    const left = process.memoryUsage().heapUsed - before
    t.ok(left < 5e6, `${left} bytes are left`)
  },
)
